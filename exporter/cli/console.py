"""What all commands share: where they print, and how they fail."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import typer
from rich.console import Console

from sixpoint import errors

__all__ = ["EXIT_CODES", "clear_errors", "err", "out"]

out = Console(soft_wrap=True, highlight=False)
err = Console(soft_wrap=True, highlight=False, stderr=True)

EXIT_CODES: dict[type[errors.SixpointError], int] = {
    errors.InvalidArgument: 3,
    errors.NotFound: 4,
    errors.FailedPrecondition: 5,
    errors.ResourceExhausted: 6,
    errors.Unavailable: 7,
    errors.DeadlineExceeded: 8,
    errors.SixpointError: 1,
}
"""The exit code for each branch of the error tree, as in sixpoint's command line; 2 is a wrong command line."""


@contextlib.contextmanager
def clear_errors() -> Iterator[None]:
    """One line that says what is wrong and an exit code, instead of a traceback."""
    try:
        yield
    except errors.SixpointError as error:
        message, code = error.message, next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind))
    except OSError as error:  # a disk that is full, a folder that may not be written to
        message, code = str(error), 1
    else:
        return
    err.print(f"error: {message}", markup=False)
    raise typer.Exit(code)
