"""What the commands share: the application, its options, exit codes, and how results are printed."""

from __future__ import annotations

import errno
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from sixpoint import errors
from sixpoint.client import Retry
from sixpoint.volume import check_suffix

__all__ = [
    "DEFAULT_SERVER",
    "EXIT_CODES",
    "PATIENCE",
    "AsJson",
    "Server",
    "app",
    "check_outputs",
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


def check_outputs(output: Path | None, preview: Path | None) -> None:
    """Refuse files that could not be written, before a person waits for what is in them.

    Raises:
        VolumeError: The output's suffix says no format, or a folder takes no files.
    """
    if output:
        check_suffix(output)
        _check_place(output, replaced=True)
    if preview:
        _check_place(preview, replaced=False)


def _check_place(path: Path, *, replaced: bool) -> None:
    """Refuse a file that cannot be written; one that is not ``replaced`` is written to where it is."""
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if path.exists() and not replaced:
            if not os.access(path, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return
        # What is not there yet is made when there is something to write.
        folder = path.absolute().parent
        while not folder.exists():
            folder = folder.parent
        with tempfile.TemporaryDirectory(prefix=".sixpoint-", dir=folder):
            pass
    except OSError as error:
        raise errors.VolumeError(f"cannot write {path}: {error.strerror}") from error


def print_json(data: object) -> None:
    """Print for scripts."""
    sys.stdout.write(json.dumps(data, indent=2) + "\n")
