"""``sixpoint sessions`` and ``sixpoint resume``: list and continue sessions that were kept open."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sixpoint.cli.annotate import draw_preview
from sixpoint.cli.common import (
    CLI_RETRY,
    JsonOption,
    NamesOption,
    PreviewOption,
    SeriesOption,
    ServerOption,
    SpacingOption,
    WideOption,
    app,
    check_outputs,
    print_json,
    print_notes,
    print_written,
    read_image,
    waiting_hint,
)
from sixpoint.cli.image_warnings import notes_without_image
from sixpoint.cli.options.dicom import CreatorOption, DicomOption, DicomOptions, SourceOption
from sixpoint.cli.options.session_ids import SessionCommand
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
from sixpoint.cli.sessions.facts import describe, duration, session_facts, step_facts
from sixpoint.cli.tables import print_table
from sixpoint.client import Client, Session, Timeout
from sixpoint.errors import NothingToRedo, NothingToUndo
from sixpoint.preview import save_preview
from sixpoint.prompts import Prompt
from sixpoint.protocol import DEFAULT_SERVER

__all__ = ["resume", "sessions"]

NextModelOption = Annotated[
    str, typer.Option("--model", "-m", help="Model that answers from now on; without it, the model stays.")
]
LabelsOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Labels of all objects to write: .nii.gz, .nrrd, .mha, .dcm, ..."),
]
SessionIdArgument = Annotated[
    str, typer.Argument(help="Id of the session; `sixpoint sessions` lists them.", metavar="ID")
]


@app.command(
    epilog="Example: sixpoint sessions\n\nExample: sixpoint sessions --model annotation --version 2",
)
def sessions(
    model: Annotated[
        str,
        typer.Option("--model", "-m", help="Only sessions with a mask of this model, or whose next prompt it answers."),
    ] = "",
    version: Annotated[str, typer.Option(help="Only sessions that use this version of --model.")] = "",
    server: ServerOption = DEFAULT_SERVER,
    wide: WideOption = False,
    as_json: JsonOption = False,
) -> None:
    """List your open sessions, the last used first. Your sessions are those of the owner that SIXPOINT_OWNER names."""
    if version and not model:
        raise typer.BadParameter("--version needs --model")
    with Client(server, retry=CLI_RETRY) as client:
        infos = client.sessions(model=model, version=version)
        others = client.count_sessions(model=model, version=version) - len(infos) if model else 0
    if as_json:
        print_json([session_facts(info) for info in infos])
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("session", "model", "revision", "segments", "last used", "closes"):
        table.add_column(heading, no_wrap=heading == "session")
    now = datetime.now(UTC)
    for info in infos:
        segments = ", ".join(f"{segment.number} {segment.name}".strip() for segment in info.segments) or "none"
        used, closes = f"{duration(now - info.used)} ago", f"in {duration(info.expires - now)}"
        table.add_row(*map(escape, (info.id, info.model, str(info.revision), segments, used, closes)))
    print_table(table, wide=wide)
    if others > 0:
        Console().print(f"and {others} of other owners", highlight=False)


@app.command(
    cls=SessionCommand,
    epilog="Example: sixpoint resume fqgwjm62dynp8sbxe3vkrhta5c --click -75,70,9 -o spleen.nii.gz\n\n"
    "Example: sixpoint resume fqgwjm62dynp8sbxe3vkrhta5c --undo 2\n\n"
    'Example: sixpoint resume fqgwjm62dynp8sbxe3vkrhta5c --segment 2 --name liver --box "12,4,4 80,79,22" '
    "-o labels.nii.gz",
)
def resume(
    session_id: SessionIdArgument,
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
    segment: Annotated[int, typer.Option(min=1, max=255, help="Number of the object: its label in saved masks.")] = 1,
    name: Annotated[str, typer.Option(help="New name of the object; without it, the name stays.")] = "",
    model: NextModelOption = "",
    undo: Annotated[int, typer.Option(min=0, help="Number of steps to undo before the prompts.")] = 0,
    redo: Annotated[int, typer.Option(min=0, help="Number of steps to redo before the prompts, after --undo.")] = 0,
    reset: Annotated[bool, typer.Option("--reset", help="Undo all steps before the prompts.")] = False,
    output: LabelsOption = None,
    names: NamesOption = False,
    dicom_kind: DicomOption = "",
    source: SourceOption = None,
    creator: CreatorOption = "",
    image: Annotated[
        Path | None,
        typer.Option(help="The session's image; --preview, the header of a NIfTI mask and a .dcm mask need it."),
    ] = None,
    preview: PreviewOption = None,
    spacing: SpacingOption = "",
    series: SeriesOption = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for each answer.")] = 60.0,
    server: ServerOption = DEFAULT_SERVER,
    wide: WideOption = False,
    as_json: JsonOption = False,
) -> None:
    """Continue a session and list its steps."""
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
    dicom = DicomOptions(dicom_kind, source, creator)
    dicom.check(output, image)
    inputs = (image, points_file, *drawn_files(mask, scribble, lasso), source)
    written = check_outputs(output, preview, inputs=inputs, names=names)
    if preview and not image:
        raise typer.BadParameter("--preview needs --image")
    volume = read_image(image, spacing=spacing, series=series) if image else None
    notes = volume.notes if volume else notes_without_image(output)
    with Client(server, timeout=Timeout(call=timeout), retry=CLI_RETRY) as client:
        session = client.resume(session_id, volume)
        _check_steps(session, segment, reset=reset, undo=undo, redo=redo)
        prompts = place_masks(prompts, session.geometry, resample=resample)
        _set_up(session, segment, model=model, name=name)
        with waiting_hint(quiet=as_json):
            _change(session, segment, reset=reset, undo=undo, redo=redo, prompts=prompts)
        if output:
            session.save(output, names=names, dicom=dicom.dicom, source=source, creator=creator)
            print_notes(() if volume else notes)
        if preview:
            _write_preview(session, segment, preview)
        _print_session(session, as_json=as_json, wide=wide, output=output, written=written, notes=notes)


def _check_steps(session: Session, segment: int, *, reset: bool, undo: int, redo: int) -> None:
    """Refuse an undo or redo of too many steps, before any of them is made.

    Raises:
        NothingToUndo: The segment has fewer steps to undo.
        NothingToRedo: The segment has fewer steps to redo.
    """
    steps = {info.number: (info.step, info.steps) for info in session.segments}
    head, count = steps.get(segment, (0, 0))
    head = 0 if reset else head
    if undo > head:
        raise NothingToUndo(f"segment {segment} has {head} steps to undo, not {undo}")
    if redo > count - (head - undo):
        raise NothingToRedo(f"segment {segment} has {count - head + undo} steps to redo, not {redo}")


def _set_up(session: Session, segment: int, *, model: str, name: str) -> None:
    """Choose the model, and name the segment; empty texts leave them as they are."""
    if model:
        session.use_model(model)
    if name:
        session.rename(segment, name)


def _change(session: Session, segment: int, *, reset: bool, undo: int, redo: int, prompts: Sequence[Prompt]) -> None:
    """Make the changes that the options ask for, in order."""
    if reset:
        session.reset(segment=segment)
    for _ in range(undo):
        session.undo(segment=segment)
    for _ in range(redo):
        session.redo(segment=segment)
    for prompt in prompts:
        session.annotate(prompt, segment=segment)


def _write_preview(session: Session, segment: int, preview: Path) -> None:
    """Draw a segment's mask and the prompts in force on the session's image, if the image is there."""
    if session.volume is not None:
        steps = session.steps(segment=segment)
        in_force = tuple(prompt for step in steps if step.in_force for prompt in step.prompts)
        save_preview(draw_preview(session.volume, session.mask(segment=segment), in_force), preview)


def _print_session(
    session: Session, *, as_json: bool, wide: bool, output: Path | None, written: Sequence[Path], notes: Sequence[str]
) -> None:
    """Print the segments of a session with their volumes, and all steps; the notes are for JSON only."""
    info, steps = session.refresh(), session.steps()
    volumes = {segment.number: round(session.mask(segment=segment.number).volume_ml, 2) for segment in info.segments}
    if as_json:
        facts = {"volume_ml": volumes, "steps": [*map(step_facts, steps)], "notes": notes}
        facts |= {"written": [*map(str, written)]} | ({"output": str(output)} if output else {})
        print_json(session_facts(info) | facts)
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("segment", "step", "prompts", "model", ""):
        table.add_column(heading)
    names = {segment.number: segment.name for segment in info.segments}
    for step in steps:
        label = f"{step.segment} {names.get(step.segment, '')}".strip()
        version = f"{step.model} {step.model_version}".strip()
        prompts = ", ".join(map(describe, step.prompts))
        table.add_row(*map(escape, (label, str(step.number), prompts, version, "" if step.in_force else "undone")))
    console = Console()
    console.print(f"session {escape(info.id)}, revision {info.revision}, model {escape(info.model)}", highlight=False)
    for number, volume in volumes.items():
        console.print(f"segment {number} {escape(names[number])}".strip() + f": {volume:.1f} ml", highlight=False)
    print_table(table, wide=wide)
    print_written(written)
