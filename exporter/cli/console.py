"""Consoles and error handling shared by all commands."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import typer
from rich.console import Console

from sixpoint.cli import exit_code
from sixpoint.cli.json_errors import report_error
from sixpoint.errors import SixpointError

__all__ = ["clear_errors", "err", "out"]

out = Console(soft_wrap=True, highlight=False)
err = Console(soft_wrap=True, highlight=False, stderr=True)


@contextlib.contextmanager
def clear_errors() -> Iterator[None]:
    """Report an error in one line with sixpoint's exit code, instead of a traceback; with ``--json`` as JSON, too."""
    try:
        yield
    except SixpointError as error:
        message, code = error.message, exit_code(error)
        report_error(error)
    except OSError as error:  # full disk, missing permission
        message, code = str(error), 1
        report_error(error)
    else:
        return
    err.print(f"error: {message}", markup=False)
    raise typer.Exit(code)
