"""``sixpoint sessions``, ``resume`` and ``close``: work that goes on on another day, or at another desk."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sixpoint.cli.annotate import draw, step
from sixpoint.cli.common import DEFAULT_SERVER, PATIENCE, AsJson, Server, app, check_outputs, print_json
from sixpoint.cli.prompts import BoxText, Clicks, FrameName, MaskFile, Points, PointsFile, read_begun, read_clicks
from sixpoint.client import Client, Session, SessionInfo, StepInfo, Timeout
from sixpoint.errors import NothingToRedo, NothingToUndo
from sixpoint.preview import save_preview
from sixpoint.prompts import Box, Click, ExtremePoints, Prompt

__all__ = ["close", "resume", "sessions"]

SessionId = Annotated[str, typer.Argument(help="The session's id; `sixpoint sessions` lists them.", metavar="ID")]


@app.command(
    epilog="Example: sixpoint sessions\n\nExample: sixpoint sessions --model annotation --version 2",
)
def sessions(
    model: Annotated[
        str, typer.Option("--model", "-m", help="Only those that show its answers, or would ask it next.")
    ] = "",
    version: Annotated[str, typer.Option(help="Only those that use this version of --model, likewise.")] = "",
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """List your open sessions, the last used first. Yours are those of SIXPOINT_OWNER, which may be empty."""
    if version and not model:
        raise typer.BadParameter("a version of which model? Say --model, too")
    with Client(server, retry=PATIENCE) as client:
        found = client.sessions(model=model, version=version)
        others = client.count_sessions(model=model, version=version) - len(found) if model else 0
    if as_json:
        print_json([_facts(one) for one in found])
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("session", "model", "revision", "segments", "last used", "closes"):
        table.add_column(heading, no_wrap=heading == "session")
    now = datetime.now(UTC)
    for one in found:
        segments = ", ".join(f"{part.number} {part.name}".strip() for part in one.segments) or "none"
        used, closes = f"{_span(now - one.used)} ago", f"in {_span(one.expires - now)}"
        table.add_row(*map(escape, (one.id, one.model, str(one.revision), segments, used, closes)))
    console = Console()
    console.print(table)
    if others > 0:
        console.print(f"and {others} of other owners", highlight=False)


@app.command(
    epilog="Example: sixpoint resume hcEOF7ePSk8AFt8kqsCdDg --click -75,70,9 -o spleen.nii.gz\n\n"
    "Example: sixpoint resume hcEOF7ePSk8AFt8kqsCdDg --undo 2\n\n"
    'Example: sixpoint resume hcEOF7ePSk8AFt8kqsCdDg --segment 2 --name liver --box "12,4,4 80,79,22" -o labels.nii.gz'
)
def resume(
    session_id: SessionId,
    points: Points = "",
    points_file: PointsFile = None,
    box: BoxText = "",
    mask: MaskFile = "",
    click: Clicks = None,
    frame: FrameName = "",
    segment: Annotated[int, typer.Option(min=1, max=255, help="The object: its label in saved masks.")] = 1,
    name: Annotated[str, typer.Option(help="What the object is.")] = "",
    model: Annotated[str, typer.Option("--model", "-m", help="Have another model answer from now on.")] = "",
    undo: Annotated[int, typer.Option(min=0, help="Take back so many steps first.")] = 0,
    redo: Annotated[int, typer.Option(min=0, help="Take so many steps again first.")] = 0,
    reset: Annotated[bool, typer.Option("--reset", help="Take back all steps first.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the masks of all objects, as labels.")
    ] = None,
    image: Annotated[Path | None, typer.Option(help="The session's image, for --preview.")] = None,
    preview: Annotated[Path | None, typer.Option(help="Picture to write: three planes, outline, prompts.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for each answer.")] = 60.0,
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """Go on with a session; without anything to do, show its log."""
    begun = read_begun(points=points, points_file=points_file, box=box, mask=mask, frame=frame)
    prompts = (*([begun] if begun else ()), *read_clicks(click, begun=begun, frame=frame))
    check_outputs(output, preview)
    if preview and not image:
        raise typer.BadParameter("a picture needs the image: --image FILE")
    with Client(server, timeout=Timeout(call=timeout), retry=PATIENCE) as client:
        session = client.resume(session_id, image)
        _check_steps(session, segment, reset=reset, undo=undo, redo=redo)
        for prompt in prompts:
            prompt.to_index(session.geometry)
        if model:
            session.use_model(model)
        if name:
            session.rename(segment, name)
        if reset:
            session.reset(segment=segment)
        for _ in range(undo):
            session.undo(segment=segment)
        for _ in range(redo):
            session.redo(segment=segment)
        for prompt in prompts:
            step(session, prompt, segment=segment)
        if output:
            session.save(output)
        if preview and session.volume is not None:
            shown = tuple(one for part in session.steps(segment=segment) if part.in_force for one in part.prompts)
            save_preview(draw(session.volume, session.mask(segment=segment), shown), preview)
        _show(session, as_json=as_json, output=output)


@app.command(epilog="Example: sixpoint close hcEOF7ePSk8AFt8kqsCdDg")
def close(session_id: SessionId, server: Server = DEFAULT_SERVER) -> None:
    """Close a session: its log is removed. One that is closed already is no error."""
    with Client(server, retry=PATIENCE) as client:
        client.close_session(session_id)


def _check_steps(session: Session, segment: int, *, reset: bool, undo: int, redo: int) -> None:
    """Refuse what cannot be taken back, or again, before any of it is.

    Raises:
        NothingToUndo: Saying how many steps can be taken back.
        NothingToRedo: Saying how many can be taken again.
    """
    step, steps = next(((one.step, one.steps) for one in session.segments if one.number == segment), (0, 0))
    step = 0 if reset else step
    if undo > step:
        raise NothingToUndo(f"segment {segment} has {step} steps that can be taken back, not {undo}")
    if redo > steps - (step - undo):
        raise NothingToRedo(f"segment {segment} has {steps - step + undo} steps that can be taken again, not {redo}")


def _show(session: Session, *, as_json: bool, output: Path | None) -> None:
    info, steps = session.refresh(), session.steps()
    volumes = {one.number: round(session.mask(segment=one.number).volume_ml, 2) for one in info.segments}
    if as_json:
        log = [_step_facts(one) for one in steps]
        written = {"output": str(output)} if output else {}
        print_json(_facts(info) | {"volume_ml": volumes, "steps": log} | written)
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("segment", "step", "shown", "model", ""):
        table.add_column(heading)
    names = {one.number: one.name for one in info.segments}
    for one in steps:
        label = f"{one.segment} {names.get(one.segment, '')}".strip()
        version = f"{one.model} {one.model_version}".strip()
        shown = ", ".join(map(_name, one.prompts))
        table.add_row(*map(escape, (label, str(one.number), shown, version, "" if one.in_force else "taken back")))
    console = Console()
    console.print(f"session {escape(info.id)}, revision {info.revision}, model {escape(info.model)}", highlight=False)
    for number, volume in volumes.items():
        console.print(f"segment {number} {escape(names[number])}".strip() + f": {volume:.1f} ml", highlight=False)
    console.print(table)


def _facts(info: SessionInfo) -> dict[str, Any]:
    return {
        "session": info.id,
        "model": info.model,
        "revision": info.revision,
        "segments": [vars(one) for one in info.segments],
        "created": info.created.isoformat(),
        "used": info.used.isoformat(),
        "expires": info.expires.isoformat(),
    }


def _step_facts(one: StepInfo) -> dict[str, Any]:
    return {
        "segment": one.segment,
        "step": one.number,
        "shown": [_name(prompt) for prompt in one.prompts],
        "model": one.model,
        "model_version": one.model_version,
        "in_force": one.in_force,
    }


def _name(prompt: Prompt) -> str:
    match prompt:
        case ExtremePoints(points):
            return f"{len(points)} extreme points"
        case Box():
            return "a box"
        case Click(point, positive):
            return f"{'+' if positive else '-'}{','.join(f'{value:g}' for value in point)}"
        case _:
            return "a mask"


def _span(span: timedelta) -> str:
    """About how long: two units at most."""
    seconds = max(0, round(span.total_seconds()))
    days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{seconds} s"
