"""The command ``trainer``, also ``python -m trainer``."""

from __future__ import annotations

import sys

from rich.console import Console

__all__ = ["main"]

_err = Console(soft_wrap=True, highlight=False, stderr=True)


def main() -> None:
    """Run the command line."""
    try:
        # Imported here: it needs PyTorch, which may not be installed.
        from trainer import cli

        cli.main()
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in {"trainer", "sixpoint"}:
            raise
        # The command is also installed without the extra that it needs.
        _err.print(f"error: the trainer needs {error.name}, which comes with: pip install '.[trainer]'", markup=False)
        sys.exit(5)


if __name__ == "__main__":
    main()
