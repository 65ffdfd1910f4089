"""The command line ``sixpoint``: a thin layer over the SDK, one file for each group of commands."""

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
    """Run the command line; an error of sixpoint is one line on stderr and an exit code of its own."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Names may have letters that the encoding lacks: into a file, on Windows, it is that of one language.
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except errors.SixpointError as error:
        Console(stderr=True, soft_wrap=True).print(f"[bold red]error[/]: {escape(error.message)}", highlight=False)
        sys.exit(exit_code(error))
    except KeyboardInterrupt:
        sys.exit(130)
