"""The command line ``sixpoint``: a thin layer over the SDK."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

from sixpoint import errors
from sixpoint.client import Client, Session, Timeout
from sixpoint.phantom import ORGANS, make_phantom
from sixpoint.point_files import parse_box, parse_click, parse_points, read_points
from sixpoint.preview import render_preview, save_preview
from sixpoint.prompts import Box, ExtremePoints, Frame, Prompt
from sixpoint.report import Step, report, report_table
from sixpoint.volume import Volume, check_suffix

__all__ = ["app", "main"]

EXIT_CODES: dict[type[errors.SixpointError], int] = {
    errors.InvalidArgument: 3,
    errors.NotFound: 4,
    errors.FailedPrecondition: 5,
    errors.ResourceExhausted: 6,
    errors.Unavailable: 7,
    errors.DeadlineExceeded: 8,
    errors.SixpointError: 1,
}
"""The exit code for each branch of the error tree; 2 is a wrong command line, 0 success."""

app = typer.Typer(
    help="Outline an organ or lesion in a 3D medical image with six clicks.",
    epilog="Exit codes: 0 done; 2 wrong command line; 3 wrong image or prompts; 4 no such model or session; "
    "5 not possible with this model; 6 a limit of the server; 7 gateway or Triton away; 8 too late; 1 anything else.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)

Server = Annotated[
    str, typer.Option("--server", "-s", envvar="SIXPOINT_SERVER", help="The gateway, host:port.", metavar="HOST:PORT")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]

_DEFAULT_SERVER = "127.0.0.1:50051"


@app.command(epilog="Example: sixpoint models --modality CT")
def models(
    server: Server = _DEFAULT_SERVER,
    modality: Annotated[str, typer.Option(help="Only models for this modality: CT, MR, PT, US.")] = "",
    label: Annotated[str, typer.Option(help="Only models with this label.")] = "",
    as_json: AsJson = False,
) -> None:
    """List the models that can be used now."""
    with Client(server) as client:
        found = client.models(modality=modality, label=label)
    if as_json:
        _print_json([{**vars(model)} for model in found])
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("model", "version", "takes", "for", "licence", "title"):
        table.add_column(heading, no_wrap=heading != "title")
    for model in found:
        takes, modalities = ", ".join(model.prompts), ", ".join(model.modalities) or "any image"
        cells = (model.name, model.version, takes, modalities, model.licence, model.title)
        table.add_row(*map(escape, cells))
    Console().print(table)


@app.command(
    epilog='Example: sixpoint annotate ct.nii.gz --points "52,60,10 80,61,12 66,44,11 65,79,13 66,60,4 67,62,22" '
    "-o spleen.nii.gz --preview spleen.png\n\n"
    'Example: sixpoint annotate ct.nii.gz --box "52,44,4 80,79,22" --click +60,50,15 --click -75,70,9 -o spleen.nii.gz'
)
def annotate(
    image: Annotated[Path, typer.Argument(help="NIfTI, NRRD or MetaImage file, or a folder with one DICOM series.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Mask to write: .nii.gz, .nrrd, .mha, ...")],
    points: Annotated[str, typer.Option("--points", "-p", help='Six or more points, "x,y,z x,y,z ...".')] = "",
    points_file: Annotated[
        Path | None, typer.Option("--points-file", "-f", help="Points from a .mrk.json, .fcsv, .json or .csv file.")
    ] = None,
    box: Annotated[
        str, typer.Option("--box", "-b", help='A box round the object instead: two opposite corners, "x,y,z x,y,z".')
    ] = "",
    click: Annotated[
        list[str] | None,
        typer.Option(
            "--click",
            "-c",
            help="A correction: +x,y,z where the object was missed, -x,y,z where the mask went too far. May be given "
            "again: each corrects the answer to those before it.",
            metavar="+X,Y,Z|-X,Y,Z",
        ),
    ] = None,
    frame: Annotated[
        str,
        typer.Option(
            help="What the numbers are: voxel indices (x,y,z), or patient mm, lps or ras; those of clicks too. "
            "[default: voxel, or what the file says]"
        ),
    ] = "",
    model: Annotated[str, typer.Option("--model", "-m", help="Model to use; `sixpoint models` lists them.")] = (
        "annotation"
    ),
    preview: Annotated[
        Path | None, typer.Option(help="Picture to write: three planes, outline, prompts (PNG).")
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the answer.")] = 60.0,
    server: Server = _DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """Outline the object that six extreme points touch (leftmost, rightmost, foremost, hindmost, lowest, highest), or
    that a box holds; then correct the outline with clicks.
    """
    begun = _begun(points, points_file, box, frame)
    clicks = [parse_click(text, frame=begun.frame) for text in click or ()]
    check_suffix(output)
    volume = Volume.read(image)
    # The gateway checks them too; here it spares an upload.
    index = begun.to_index(volume.geometry)
    clicked = [one.to_index(volume.geometry) for one in clicks]
    started = time.perf_counter()
    with (
        Client(server, timeout=Timeout(call=timeout)) as client,
        _upload_bar(quiet=as_json) as advance,
        client.open_session(volume, model=model, progress=advance) as session,
    ):
        opened = time.perf_counter()
        steps = [_step(session, prompt) for prompt in (begun, *clicks)]
    mask = steps[-1].mask
    mask.save(output)
    if preview:
        shown = np.concatenate([index, *(at for at, one in zip(clicked, clicks, strict=True) if one.positive)])
        excluded = [at[0] for at, one in zip(clicked, clicks, strict=True) if not one.positive]
        save_preview(render_preview(volume, mask.array, shown, excluded=excluded), preview)
    facts = report(steps, image=image.name, upload=timedelta(seconds=opened - started))
    facts["output"] = str(output)
    if as_json:
        _print_json(facts)
    else:
        Console().print(report_table(facts))


@app.command(epilog="Example: sixpoint phantom ct; sixpoint annotate ct/image.nii.gz -f ct/liver.json -o liver.nii.gz")
def phantom(
    folder: Annotated[Path, typer.Argument(help="Folder to write into.")],
    seed: Annotated[int, typer.Option(help="Another seed, another phantom.")] = 6,
) -> None:
    """Write a made-up abdominal CT, its truth, and the extreme points of its organs: something to try sixpoint on."""
    made = make_phantom(seed=seed)
    made.image.write(folder / "image.nii.gz")
    made.labels.write(folder / "labels.nii.gz")
    for organ in ORGANS:
        prompt = ExtremePoints.of_mask(made.mask(organ))
        data = {"frame": "voxel", "points": prompt.points}
        (folder / f"{organ}.json").write_text(json.dumps(data) + "\n")
    Console(soft_wrap=True).print(
        f"wrote image.nii.gz, labels.nii.gz and the points of {', '.join(ORGANS)} to {escape(str(folder))}"
    )


def main() -> None:
    """Run the command line; an error of sixpoint is one line on stderr and an exit code of its own."""
    try:
        app()
    except errors.SixpointError as error:
        Console(stderr=True, soft_wrap=True).print(f"[bold red]error[/]: {escape(error.message)}", highlight=False)
        sys.exit(exit_code(error))
    except KeyboardInterrupt:
        sys.exit(130)


def exit_code(error: errors.SixpointError) -> int:
    """The exit code for an error: that of its nearest ancestor in :data:`EXIT_CODES`."""
    return next(EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES)


def _begun(points: str, points_file: Path | None, box: str, frame: str) -> ExtremePoints | Box:
    if sum(map(bool, (points, points_file, box))) != 1:
        raise typer.BadParameter(
            'give the points either as --points "x,y,z x,y,z ..." or as --points-file FILE, or a box as '
            '--box "x,y,z x,y,z"'
        )
    named = Frame.parse(frame) if frame else None
    if points_file:
        return read_points(points_file, frame=named)
    return (parse_points if points else parse_box)(points or box, frame=named or Frame.VOXEL)


def _step(session: Session, prompt: Prompt) -> Step:
    started = time.perf_counter()
    mask = session.annotate(prompt)
    return Step(prompt, mask, timedelta(seconds=time.perf_counter() - started))


@contextmanager
def _upload_bar(*, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    columns = (TextColumn("uploading"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet) as bar:
        task = bar.add_task("upload", total=None, visible=False)
        yield lambda sent, total: bar.update(task, completed=sent, total=total, visible=True)


def _print_json(data: object) -> None:
    sys.stdout.write(json.dumps(data, indent=2) + "\n")
