"""The command line ``sixpoint``: a thin layer over the SDK, with one file per group of commands."""

from __future__ import annotations

import io
import sys

from rich.console import Console
from rich.markup import escape

from sixpoint import errors
from sixpoint.cli import annotate, doctor, models, segment, sessions
from sixpoint.cli.common import EXIT_CODES, app, exit_code

__all__ = ["EXIT_CODES", "annotate", "app", "doctor", "exit_code", "main", "models", "segment", "sessions"]


def main() -> None:
    """Run the command line. A :class:`SixpointError` becomes one line on stderr and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal's or file's encoding may lack letters of a name; on Windows it covers one language only.
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except errors.SixpointError as error:
        Console(stderr=True, soft_wrap=True).print(f"[bold red]error[/]: {escape(error.message)}", highlight=False)
        sys.exit(exit_code(error))
    except KeyboardInterrupt:
        sys.exit(130)
