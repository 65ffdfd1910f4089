"""What the commands share: the typer application, options, exit codes, progress bars and JSON output."""

from __future__ import annotations

import errno
import json
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, TextColumn, TransferSpeedColumn
from rich.progress import Progress as ProgressBar

from sixpoint import errors
from sixpoint.cli.json_errors import JsonErrors
from sixpoint.cli.version import VersionOption
from sixpoint.client import Retry
from sixpoint.io.output_files import check_not_inputs
from sixpoint.mask_files.labels import check_labels_file
from sixpoint.protocol import SERVER_VARIABLE
from sixpoint.volume import Volume, check_voxels

__all__ = [
    "CLI_RETRY",
    "EXIT_CODES",
    "PATIENCE_S",
    "WAITING_TEXT",
    "ImageArgument",
    "JsonOption",
    "NamesOption",
    "PreviewOption",
    "SeriesOption",
    "ServerOption",
    "SpacingOption",
    "VerboseOption",
    "WideOption",
    "app",
    "check_outputs",
    "download_bar",
    "exit_code",
    "print_json",
    "print_notes",
    "print_written",
    "read_image",
    "upload_bar",
    "waiting_hint",
]

EXIT_CODES: dict[type[errors.SixpointError], int] = {
    errors.InvalidArgument: 3,
    errors.NotFound: 4,
    errors.FailedPrecondition: 5,
    errors.ResourceExhausted: 6,
    errors.Unavailable: 7,
    errors.DeadlineExceeded: 8,
    errors.Aborted: 9,
    errors.Unauthenticated: 10,
    errors.PermissionDenied: 10,
    errors.SixpointError: 1,
}
"""Exit code for each branch of the error tree. 0 is success; 2 is a usage error, which typer reports."""

app = typer.Typer(
    cls=JsonErrors,
    epilog="Exit codes: 0 success; 2 usage error; 3 invalid image, prompts or other input; 4 model or session not "
    "found; 5 not possible with this model or in this state; 6 limit of the server reached; 7 gateway or Triton "
    "unavailable; 8 timeout; 9 another client changed the session; 10 not signed in, or not allowed; 130 interrupted; "
    "1 any other error.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.callback()
def _program(version: VersionOption = False) -> None:
    """Outline an organ or lesion in a 3D medical image with six clicks."""


ImageArgument = Annotated[
    Path,
    typer.Argument(
        help="NIfTI, NRRD or MetaImage file, a folder or zip with a DICOM series, or a multi-frame DICOM file; or "
        "dicomweb:URL#STUDY/SERIES for a series of a DICOMweb server, which needs the extra sixpoint[dicomweb]."
    ),
]
SpacingOption = Annotated[
    str,
    typer.Option(
        help="Spacing in mm where the header lacks it; in DICOM, also of one slice, or of slices without positions.",
        metavar="X,Y,Z",
    ),
]
SeriesOption = Annotated[
    int | None, typer.Option(min=1, help="Number of the DICOM series; needed where the folder holds several.")
]
PreviewOption = Annotated[
    Path | None, typer.Option(help="PNG file to write: three planes of the image with outline and prompts.")
]
ServerOption = Annotated[
    str,
    typer.Option(
        "--server",
        "-s",
        envvar=SERVER_VARIABLE,
        help="Address of the gateway. A host without a port means port 50051.",
        metavar="HOST[:PORT]",
    ),
]
NamesOption = Annotated[
    bool,
    typer.Option(
        "--names",
        help="Write the names of the labels to a JSON file, too: labels.json beside labels.nii.gz. A .seg.nrrd file "
        "has them in itself.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Print times and sizes, too.")]
WideOption = Annotated[bool, typer.Option("--wide", help="Wrap no cell of the table to fit the terminal.")]

PATIENCE_S = 2.0
"""Seconds after which a wait for a first answer is explained: a model that is in use answers sooner."""

WAITING_TEXT = "waiting for the first answer: a model that was not in use is loaded and warmed up first"

CLI_RETRY = Retry(attempts=4)
"""Retries of the commands. A person at a terminal should wait about a second for an error, not ten."""


def exit_code(error: errors.SixpointError) -> int:
    """Return the exit code for an error: that of its nearest ancestor in :data:`EXIT_CODES`."""
    return next(EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES)


def read_image(image: Path, *, spacing: str, series: int | None) -> Volume:
    """Read the image of a command, and print to stderr what its file lacks.

    Args:
        image: File or folder.
        spacing: Text of ``--spacing``; empty when it is not given.
        series: Number of ``--series``.

    Raises:
        typer.BadParameter: The spacing is not three numbers.
        VolumeError: The image cannot be read, or has voxels that are NaN or infinite.
    """
    try:
        values = [float(part) for part in spacing.split(",")] if spacing else None
    except ValueError as error:
        raise typer.BadParameter(f"--spacing: expected X,Y,Z in mm, got {spacing!r}") from error
    with download_bar() as progress:
        volume = Volume.read(image, spacing=values, series=series, progress=progress)
    try:
        # Before anything is sent.
        check_voxels(volume.array)
    except errors.VolumeError as error:
        raise errors.VolumeError(f"{image}: {error.message}") from error
    print_notes(volume.notes)
    return volume


def print_notes(notes: Iterable[str]) -> None:
    """Print to stderr what a person should know about a file."""
    for note in notes:
        sys.stderr.write(f"note: {note}\n")


@contextmanager
def upload_bar(*, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar for an upload, once it has sent something.

    Args:
        quiet: Whether to show nothing.

    Yields:
        A function to call with the bytes sent so far and the bytes in all.
    """
    columns = (TextColumn("uploading"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    console = Console(stderr=True)
    with ProgressBar(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("upload", total=None, visible=False)
        yield lambda sent, total: bar.update(task, completed=sent, total=total, visible=True)


@contextmanager
def download_bar() -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar on a terminal while a DICOMweb server sends files.

    Yields:
        A function to call with the number of files so far and of all; of all 0 if it is not known.
    """
    columns = (TextColumn("downloading"), BarColumn(), MofNCompleteColumn(), TextColumn("files"))
    console = Console(stderr=True)
    with ProgressBar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("download", total=None, visible=False)
        yield lambda count, total: bar.update(task, completed=count, total=total or None, visible=True)


@contextmanager
def waiting_hint(*, quiet: bool) -> Iterator[None]:
    """Say on a terminal why the first answer of a model takes long, once it does.

    Args:
        quiet: Whether to say nothing.
    """
    console = Console(stderr=True)
    status = console.status(WAITING_TEXT)
    timer = threading.Timer(PATIENCE_S, status.start)
    timer.daemon = True
    if console.is_terminal and not quiet:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()
        if timer.ident is not None:
            timer.join()
        status.stop()


def check_outputs(
    output: Path | None, preview: Path | None, *, inputs: Iterable[Path | None], names: bool = False
) -> tuple[Path, ...]:
    """Refuse files that cannot be written, before the user waits for their content.

    Args:
        output: Mask or labels to write, if any.
        preview: Picture to write, if any.
        inputs: Files and folders that the command reads; None for those that are not given.
        names: Whether the names of the labels are written to a file beside the output.

    Returns:
        The files that the command writes.

    Raises:
        typer.BadParameter: Names are to be written, and there is no output.
        InvalidArgument: A file to write is one to read, or both files to write are one.
        VolumeError: The output's suffix is unknown, a file cannot be written, or the file of the names is there with
            other content.
    """
    if names and not output:
        raise typer.BadParameter("--names needs --output")
    check_not_inputs((output, preview), inputs)
    beside = None
    if output:
        beside = check_labels_file(output, with_names=names)
        if beside:
            check_not_inputs((output, beside, preview), inputs)
        _check_writable(output, replaced=True)
    if preview:
        _check_writable(preview, replaced=False)
    return tuple(path for path in (output, beside, preview) if path)


def _check_writable(path: Path, *, replaced: bool) -> None:
    """Refuse a path that cannot be written.

    Args:
        path: File to write.
        replaced: Whether an existing file is replaced by a new one in its folder; otherwise it is overwritten.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if path.exists() and not replaced:
            if not os.access(path, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return
        # Missing folders are created when the file is written.
        folder = path.absolute().parent
        while not folder.exists():
            folder = folder.parent
        with tempfile.TemporaryDirectory(prefix=".sixpoint-", dir=folder):
            pass
    except OSError as error:
        raise errors.VolumeError(f"cannot write {path}: {error.strerror}") from error


def print_written(paths: Sequence[Path]) -> None:
    """Name the files that were written, if any."""
    if paths:
        *first, last = map(str, paths)
        text = f"{', '.join(first)} and {last}" if first else last
        Console(soft_wrap=True, highlight=False).print(f"wrote {escape(text)}")


def print_json(data: object) -> None:
    """Print data as JSON to stdout."""
    sys.stdout.write(json.dumps(data, indent=2) + "\n")
