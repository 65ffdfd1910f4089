"""What all commands share: where they print, and how they fail."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import typer
from rich.console import Console

from sixpoint.cli import exit_code
from sixpoint.errors import SixpointError

__all__ = ["clear_errors", "err", "out"]

out = Console(soft_wrap=True, highlight=False)
err = Console(soft_wrap=True, highlight=False, stderr=True)


@contextlib.contextmanager
def clear_errors() -> Iterator[None]:
    """One line that says what is wrong and sixpoint's exit code for it, instead of a traceback."""
    try:
        yield
    except SixpointError as error:
        message, code = error.message, exit_code(error)
    except OSError as error:  # a disk that is full, a folder that may not be written to
        message, code = str(error), 1
    else:
        return
    err.print(f"error: {message}", markup=False)
    raise typer.Exit(code)
