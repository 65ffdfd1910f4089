"""``sixpoint annotate``: outline one object and correct its mask."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from sixpoint.cli.common import (
    CLI_RETRY,
    ImageArgument,
    JsonOption,
    PreviewOption,
    SeriesOption,
    ServerOption,
    SpacingOption,
    VerboseOption,
    app,
    check_outputs,
    print_json,
    print_written,
    read_image,
    upload_bar,
    waiting_hint,
)
from sixpoint.cli.image_warnings import image_warnings
from sixpoint.cli.options.dicom import CreatorOption, DicomOption, DicomOptions, SourceOption
from sixpoint.cli.options.session_ids import resume_command
from sixpoint.cli.prompts import (
    BoxOption,
    ClicksOption,
    FrameOption,
    LassosOption,
    MaskOption,
    PointsFileOption,
    PointsListOption,
    PointsOption,
    ResampleOption,
    ScribblesOption,
    ThresholdOption,
    drawn_files,
    place_masks,
    read_prompts,
)
from sixpoint.cli.tables import print_table
from sixpoint.client import Client, Session, Timeout
from sixpoint.errors import InvalidArgument
from sixpoint.io.dicomweb import image_name
from sixpoint.mask import Mask
from sixpoint.preview import render_preview, save_preview
from sixpoint.prompts import Box, Click, ExtremePoints, InitialMask, Lasso, Prompt
from sixpoint.protocol import DEFAULT_SERVER
from sixpoint.report import Step, report, report_table
from sixpoint.volume import Volume

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["annotate", "draw_preview", "timed_step"]

ModelOption = Annotated[str, typer.Option("--model", "-m", help="Model to use; `sixpoint models` lists them.")]
KeepOption = Annotated[bool, typer.Option("--keep", help="Leave the session open; `sixpoint resume` continues it.")]


@app.command(
    epilog='Example: sixpoint annotate ct.nii.gz --points "52,60,10 80,61,12 66,44,11 65,79,13 66,60,4 67,62,22" '
    "-o spleen.nii.gz --preview spleen.png\n\n"
    'Example: sixpoint annotate ct.nii.gz --box "52,44,4 80,79,22" --click +60,50,15 --click -75,70,9 -o spleen.nii.gz'
    "\n\nExample: sixpoint annotate ct.nii.gz --mask old.nii.gz:3 --click -75,70,9 -o new.nii.gz --keep\n\n"
    "Example: sixpoint annotate ct.nii.gz --model deepedit_spleen --click +60,50,15 -o spleen.nii.gz"
)
def annotate(
    image: ImageArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="Mask to write: .nii.gz, .nrrd, .mha, .dcm, ...")],
    points: PointsOption = "",
    points_file: PointsFileOption = None,
    points_list: PointsListOption = "",
    box: BoxOption = "",
    mask: MaskOption = "",
    resample: ResampleOption = False,
    threshold: ThresholdOption = None,
    scribble: ScribblesOption = None,
    lasso: LassosOption = None,
    click: ClicksOption = None,
    frame: FrameOption = "",
    model: ModelOption = "annotation",
    preview: PreviewOption = None,
    dicom_kind: DicomOption = "",
    source: SourceOption = None,
    creator: CreatorOption = "",
    name: Annotated[str, typer.Option(help="Name of the object, in the session and where the file keeps names.")] = "",
    keep: KeepOption = False,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for each answer.")] = 60.0,
    spacing: SpacingOption = "",
    series: SeriesOption = None,
    server: ServerOption = DEFAULT_SERVER,
    verbose: VerboseOption = False,
    as_json: JsonOption = False,
) -> None:
    """Outline one object and write its mask.

    The object is given by six extreme points (leftmost, rightmost, foremost, hindmost, lowest, highest), by a box, by a
    mask to correct, or by a lasso on one slice. Further lassos, scribbles and clicks then correct the mask. With a
    model that takes clicks only, the first of them begins the object.
    """
    prompts = read_prompts(
        points=points,
        points_file=points_file,
        box=box,
        mask=mask,
        clicks=click,
        frame=frame,
        points_list=points_list,
        threshold=threshold,
        scribbles=scribble,
        lassos=lasso,
    )
    _check_any(prompts)
    dicom = DicomOptions(dicom_kind, source, creator)
    dicom.check(output, image)
    written = check_outputs(output, preview, inputs=(image, points_file, *drawn_files(mask, scribble, lasso), source))
    volume = read_image(image, spacing=spacing, series=series)
    dicom.check(output, image, volume.geometry)
    prompts = place_masks(prompts, volume.geometry, resample=resample)
    started = time.perf_counter()
    with Client(server, timeout=Timeout(call=timeout), retry=CLI_RETRY) as client:
        with image_warnings(client, volume, model=model) as doubts, upload_bar(quiet=as_json) as progress:
            session = client.open_session(volume, model=model, progress=progress, keep=keep)
        with session:
            upload = timedelta(seconds=time.perf_counter() - started)
            steps = _annotate(session, prompts, name=name, quiet=as_json)
    again = resume_command(session.id, server=server) if keep else ""
    _write_files(steps, volume, output=output, dicom=dicom, preview=preview, again=again)
    facts = report(steps, image=image_name(image), upload=upload) | {
        "output": str(output),
        "written": [*map(str, written)],
    }
    facts |= (
        {"notes": volume.notes, "warnings": doubts}
        | ({"name": name} if name else {})
        | ({"session": session.id} if keep else {})
    )
    _print_facts(facts, as_json=as_json, verbose=verbose, again=again, written=written)


def _print_facts(facts: dict[str, Any], *, as_json: bool, verbose: bool, again: str, written: Sequence[Path]) -> None:
    """Print the facts as JSON, or as a table with the names of the files that were written."""
    if as_json:
        print_json(facts)
    else:
        print_table(report_table(facts, verbose=verbose, again=again))
        print_written(written)


def _check_any(prompts: Sequence[Prompt]) -> None:
    """Refuse a command line without prompts."""
    if not prompts:
        raise typer.BadParameter(
            "no prompt: give --points, --points-file, --box, --mask or --lasso; for a model that takes clicks only, "
            "--click will do"
        )


def _annotate(session: Session, prompts: Sequence[Prompt], *, name: str, quiet: bool) -> list[Step]:
    """Name the object, and send the prompts of the command.

    Args:
        session: Session to send them to.
        prompts: At least one prompt.
        name: Name of the object; empty for none.
        quiet: Whether to say nothing of a long wait.
    """
    if name:
        # First: a name that the gateway refuses should cost no prompt, and the masks have it.
        session.rename(1, name)
    with waiting_hint(quiet=quiet):
        steps = [timed_step(session, prompts[0])]
    steps += [timed_step(session, prompt) for prompt in prompts[1:]]
    return steps


def timed_step(session: Session, prompt: Prompt, *, segment: int = 1) -> Step:
    """Send one prompt, and measure the time until its mask is there.

    Args:
        session: Session to send it to.
        prompt: Prompt to send.
        segment: Number of the segment.
    """
    started = time.perf_counter()
    mask = session.annotate(prompt, segment=segment)
    return Step(prompt, mask, timedelta(seconds=time.perf_counter() - started))


def draw_preview(volume: Volume, mask: Mask, prompts: Sequence[Prompt]) -> Image:
    """Draw three planes of an image with the outline of a mask and its prompts.

    Args:
        volume: Image to draw.
        mask: Mask to outline.
        prompts: Prompts in order, whose points and clicks to mark, negative clicks in a colour of their own. Those
            before the last prompt that began an object belong to another object, and the corners of boxes and masks
            are no points that a person clicked: they are not drawn.
    """
    begin = max((number for number, prompt in enumerate(prompts) if _begins(prompt)), default=0)
    clicked = [prompt for prompt in prompts[begin:] if isinstance(prompt, Click | ExtremePoints)]
    placed = [(prompt, prompt.to_index(volume.geometry)) for prompt in clicked]
    included = [index for prompt, index in placed if isinstance(prompt, ExtremePoints) or prompt.positive]
    excluded = [index[0] for prompt, index in placed if isinstance(prompt, Click) and not prompt.positive]
    points = np.concatenate(included or [np.empty((0, 3))])
    return render_preview(volume, mask.array, points, excluded=excluded)


def _begins(prompt: Prompt) -> bool:
    """Whether a prompt begins an object wherever it stands; in a session's log, a lasso that does has an extent."""
    return isinstance(prompt, ExtremePoints | Box | InitialMask) or (
        isinstance(prompt, Lasso) and prompt.extent is not None
    )


def _write_files(
    steps: Sequence[Step], volume: Volume, *, output: Path, dicom: DicomOptions, preview: Path | None, again: str
) -> None:
    """Write the last mask and its preview.

    Args:
        steps: Steps of the session.
        volume: Image of the session.
        output: Mask to write.
        dicom: What is said about a DICOM file.
        preview: Picture to write, if any.
        again: Command that continues the session, if it stays open; an error then says how to get the mask.
    """
    mask = steps[-1].mask
    try:
        mask.save(output, dicom=dicom.dicom, source=dicom.source, creator=dicom.creator)
        if preview:
            save_preview(draw_preview(volume, mask, [step.prompt for step in steps]), preview)
    except InvalidArgument as error:
        if not again:
            raise
        raise type(error)(f"{error.message}; the session is still open: {again} -o FILE") from error
