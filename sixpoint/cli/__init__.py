"""The command line ``sixpoint``: a thin layer over the SDK, with one file per group of commands."""

from __future__ import annotations

import io
import os
import sys

from rich.console import Console
from rich.markup import escape

from sixpoint import errors
from sixpoint.cli import annotate, dataset, doctor, jobs, learning, login, loop, models, segment, sessions, store
from sixpoint.cli.common import EXIT_CODES, app, exit_code
from sixpoint.environment import misspelt_variables

__all__ = [
    "EXIT_CODES",
    "annotate",
    "app",
    "dataset",
    "doctor",
    "exit_code",
    "jobs",
    "learning",
    "login",
    "loop",
    "main",
    "models",
    "segment",
    "sessions",
    "store",
]


def main() -> None:
    """Run the command line. A :class:`SixpointError` becomes one line on stderr and an exit code.

    With ``--json`` it is JSON on stdout as well, and so is a wrong command line.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal's or file's encoding may lack letters of a name; on Windows it covers one language only.
            stream.reconfigure(errors="backslashreplace")
    for sentence in misspelt_variables(os.environ):
        Console(stderr=True, soft_wrap=True).print(f"[yellow]warning[/]: {escape(sentence)}", highlight=False)
    try:
        app()
    except errors.SixpointError as error:
        Console(stderr=True, soft_wrap=True).print(f"[bold red]error[/]: {escape(error.message)}", highlight=False)
        sys.exit(exit_code(error))
    except KeyboardInterrupt:
        sys.exit(130)
