"""``sixpoint annotate``: one object, from its first points to its last correction."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL.Image import Image
from rich.console import Console

from sixpoint.cli.common import DEFAULT_SERVER, PATIENCE, AsJson, Server, app, check_outputs, print_json, upload_bar
from sixpoint.cli.prompts import BoxText, Clicks, FrameName, MaskFile, Points, PointsFile, read_begun, read_clicks
from sixpoint.client import Client, Session, Timeout
from sixpoint.errors import VolumeError
from sixpoint.mask import Mask
from sixpoint.preview import render_preview, save_preview
from sixpoint.prompts import Click, Prompt
from sixpoint.report import Step, report, report_table
from sixpoint.volume import Volume

__all__ = ["annotate", "draw", "step"]


@app.command(
    epilog='Example: sixpoint annotate ct.nii.gz --points "52,60,10 80,61,12 66,44,11 65,79,13 66,60,4 67,62,22" '
    "-o spleen.nii.gz --preview spleen.png\n\n"
    'Example: sixpoint annotate ct.nii.gz --box "52,44,4 80,79,22" --click +60,50,15 --click -75,70,9 -o spleen.nii.gz'
    "\n\nExample: sixpoint annotate ct.nii.gz --mask old.nii.gz:3 --click -75,70,9 -o new.nii.gz --keep\n\n"
    "Example: sixpoint annotate ct.nii.gz --model deepedit_spleen --click +60,50,15 -o spleen.nii.gz"
)
def annotate(
    image: Annotated[Path, typer.Argument(help="NIfTI, NRRD or MetaImage file, or a folder with one DICOM series.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Mask to write: .nii.gz, .nrrd, .mha, ...")],
    points: Points = "",
    points_file: PointsFile = None,
    box: BoxText = "",
    mask: MaskFile = "",
    click: Clicks = None,
    frame: FrameName = "",
    model: Annotated[str, typer.Option("--model", "-m", help="Model to use; `sixpoint models` lists them.")] = (
        "annotation"
    ),
    preview: Annotated[
        Path | None, typer.Option(help="Picture to write: three planes, outline, prompts (PNG).")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the session open, for `sixpoint resume`.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the answer.")] = 60.0,
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """Outline the object that six extreme points touch (leftmost, rightmost, foremost, hindmost, lowest, highest), or
    that a box holds, or begin with a mask; then correct the outline with clicks. With a model that takes clicks alone,
    the first of them begins the object.
    """
    begun = read_begun(points=points, points_file=points_file, box=box, mask=mask, frame=frame)
    if begun is None and not click:
        raise typer.BadParameter(
            'give the points either as --points "x,y,z x,y,z ..." or as --points-file FILE, or a box as '
            '--box "x,y,z x,y,z", or a mask as --mask FILE; a model that takes clicks alone needs none of them'
        )
    prompts = (*([begun] if begun else ()), *read_clicks(click, begun=begun, frame=frame))
    check_outputs(output, preview)
    volume = Volume.read(image)
    # The gateway checks them too; here it spares an upload.
    for prompt in prompts:
        prompt.to_index(volume.geometry)
    started = time.perf_counter()
    with (
        Client(server, timeout=Timeout(call=timeout), retry=PATIENCE) as client,
        upload_bar(quiet=as_json) as advance,
        client.open_session(volume, model=model, progress=advance, keep=keep) as session,
    ):
        opened = time.perf_counter()
        steps = [step(session, prompt) for prompt in prompts]
    answer = steps[-1].mask
    try:
        answer.save(output)
        if preview:
            save_preview(draw(volume, answer, prompts), preview)
    except VolumeError as error:
        if not keep:
            raise
        raise VolumeError(f"{error.message}; the session is kept: sixpoint resume {session.id} -o FILE") from error
    facts = report(steps, image=image.name, upload=timedelta(seconds=opened - started))
    facts["output"] = str(output)
    if keep:
        facts["session"] = session.id
    if as_json:
        print_json(facts)
    else:
        Console().print(report_table(facts))


def step(session: Session, prompt: Prompt, *, segment: int = 1) -> Step:
    """One prompt, its answer, and how long it took."""
    started = time.perf_counter()
    answer = session.annotate(prompt, segment=segment)
    return Step(prompt, answer, timedelta(seconds=time.perf_counter() - started))


def draw(volume: Volume, mask: Mask, prompts: tuple[Prompt, ...]) -> Image:
    """The picture of an answer: three planes, its outline, what was shown and what was clicked away."""
    placed = [(prompt, prompt.to_index(volume.geometry)) for prompt in prompts]
    shown = [at for one, at in placed if not isinstance(one, Click) or one.positive]
    excluded = [at[0] for one, at in placed if isinstance(one, Click) and not one.positive]
    return render_preview(volume, mask.array, np.concatenate(shown or [np.empty((0, 3))]), excluded=excluded)
