"""``sixpoint segment``: all labels of a model that needs no prompts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from sixpoint.cli.common import DEFAULT_SERVER, PATIENCE, AsJson, Server, app, check_outputs, print_json, upload_bar
from sixpoint.client import Client, Timeout
from sixpoint.preview import render_preview, save_preview
from sixpoint.segmentation import Segmentation
from sixpoint.volume import Volume

__all__ = ["segment"]


@app.command(
    epilog="Example: sixpoint segment mr.nii.gz --model segmentation_hippocampus -o labels.nii.gz --preview labels.png"
    "\n\nTo correct one of them: sixpoint annotate mr.nii.gz --mask labels.nii.gz:2 --click -31,28,12 -o new.nii.gz"
)
def segment(
    image: Annotated[Path, typer.Argument(help="NIfTI, NRRD or MetaImage file, or a folder with one DICOM series.")],
    model: Annotated[
        str, typer.Option("--model", "-m", help="Model to use; `sixpoint models` lists those that take no prompts.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Labels to write: .nii.gz, .nrrd, .mha, ...")],
    label: Annotated[list[str] | None, typer.Option(help="Only this label, by name; may be repeated.")] = None,
    preview: Annotated[
        Path | None, typer.Option(help="Picture to write: three planes, outline of all labels together (PNG).")
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the labels.")] = 1800.0,
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """Label a whole image with a model that needs no prompts."""
    check_outputs(output, preview)
    volume = Volume.read(image)
    started = time.perf_counter()
    with (
        Client(server, timeout=Timeout(segment=timeout), retry=PATIENCE) as client,
        upload_bar(quiet=as_json) as sent,
        _patch_bar(quiet=as_json) as answered,
    ):
        client.upload(volume, progress=sent)
        uploaded = time.perf_counter()
        found = client.segment(volume, model=model, labels=label or (), progress=answered)
    ended = time.perf_counter()
    found.save(output)
    if preview:
        save_preview(render_preview(volume, (found.labels > 0).astype(np.uint8)), preview)
    facts = _facts(found, image=image.name, upload=uploaded - started, call=ended - uploaded)
    facts["output"] = str(output)
    if as_json:
        print_json(facts)
    else:
        Console().print(_table(facts))


@contextmanager
def _patch_bar(*, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A progress bar for the patches; it is shown once there is something to show."""
    columns = (
        TextColumn("segmenting"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("patches"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet) as bar:
        task = bar.add_task("segment", total=None, visible=False)
        yield lambda done, count: bar.update(task, completed=done, total=count, visible=True)


def _facts(found: Segmentation, *, image: str, upload: float, call: float) -> dict[str, Any]:
    """The facts about a segmentation, for JSON; times in milliseconds."""
    timings = found.timings
    phases = {
        "preprocess_ms": timings.queue + timings.preprocess,
        "inference_ms": timings.inference,
        "postprocess_ms": timings.postprocess + timings.encode,
    }
    labels = [
        {
            "number": number,
            "name": name,
            "volume_ml": round(found.volume_ml(name), 2),
            "extreme_points": [list(map(int, point)) for point in found.extreme_points(name).points]
            if found.volume_ml(name)
            else [],
        }
        for number, name in found.names.items()
    ]
    return {
        "image": image,
        "model": found.model,
        "model_version": found.model_version,
        "labels": labels,
        "upload_ms": round(upload * 1000, 1),
        **{name: round(duration.total_seconds() * 1000, 1) for name, duration in phases.items()},
        "call_ms": round(call * 1000, 1),
        "reply_bytes": found.reply_bytes,
    }


def _table(facts: dict[str, Any]) -> Table:
    """The facts as a table for people."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    table.add_row("image", escape(str(facts["image"])))
    table.add_row("model", escape(f"{facts['model']} (version {facts['model_version']})"))
    for one in facts["labels"]:
        volume = f"{one['volume_ml']:.1f} ml" if one["extreme_points"] else "nothing in this image"
        table.add_row(f"label {one['number']}", escape(f"{one['name']}: {volume}"))
    table.add_row("masks", f"{facts['reply_bytes']} bytes on the wire")
    names = {"upload": "upload_ms", "preprocessing": "preprocess_ms", "patches": "inference_ms"}
    for name, key in (names | {"postprocessing": "postprocess_ms"}).items():
        table.add_row(name, f"{facts[key]:.0f} ms")
    return table
