"""What the commands share: the application, its options, exit codes, and how results are printed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from sixpoint import errors
from sixpoint.client import Retry

__all__ = [
    "DEFAULT_SERVER",
    "EXIT_CODES",
    "PATIENCE",
    "AsJson",
    "Server",
    "app",
    "exit_code",
    "print_json",
    "upload_bar",
]

EXIT_CODES: dict[type[errors.SixpointError], int] = {
    errors.InvalidArgument: 3,
    errors.NotFound: 4,
    errors.FailedPrecondition: 5,
    errors.ResourceExhausted: 6,
    errors.Unavailable: 7,
    errors.DeadlineExceeded: 8,
    errors.Aborted: 9,
    errors.SixpointError: 1,
}
"""The exit code for each branch of the error tree; 2 is a wrong command line, 0 success."""

app = typer.Typer(
    help="Outline an organ or lesion in a 3D medical image with six clicks.",
    epilog="Exit codes: 0 done; 2 wrong command line; 3 wrong image or prompts; 4 no such model or session; "
    "5 not possible with this model, or in this state; 6 a limit of the server; 7 gateway or Triton away; 8 too late; "
    "9 another client was faster; 1 anything else.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)

Server = Annotated[
    str, typer.Option("--server", "-s", envvar="SIXPOINT_SERVER", help="The gateway, host:port.", metavar="HOST:PORT")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]

DEFAULT_SERVER = "127.0.0.1:50051"
PATIENCE = Retry(attempts=4)
"""A person at a terminal waits a moment, not ten seconds."""


def exit_code(error: errors.SixpointError) -> int:
    """The exit code for an error: that of its nearest ancestor in :data:`EXIT_CODES`."""
    return next(EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES)


@contextmanager
def upload_bar(*, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A progress bar for an upload; it is shown once there is something to show."""
    columns = (TextColumn("uploading"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet) as bar:
        task = bar.add_task("upload", total=None, visible=False)
        yield lambda sent, total: bar.update(task, completed=sent, total=total, visible=True)


def print_json(data: object) -> None:
    """Print for scripts."""
    sys.stdout.write(json.dumps(data, indent=2) + "\n")
