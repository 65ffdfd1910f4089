"""What a program says where the packages that it needs are not installed."""

from __future__ import annotations

import sys

__all__ = ["report_missing_extra"]

# They are installed together, whatever the extra.
_OWN = frozenset({"sixpoint", "gateway", "exporter", "trainer"})


def report_missing_extra(error: ModuleNotFoundError, *, program: str) -> None:
    """Print to stderr what to install for a program, whose command every installation has.

    Args:
        error: Error of the import.
        program: Name of the program, and of its extra.

    Raises:
        ModuleNotFoundError: The module is one of sixpoint's own, so that no extra has it.
    """
    if error.name is None or error.name.partition(".")[0] in _OWN:
        raise error
    # Double quotes: cmd.exe knows no others.
    sys.stderr.write(
        f"error: the {program} needs {error.name}, which is not installed: in a checkout of sixpoint, "
        f'pip install ".[{program}]"\n'
    )
