"""``sixpoint segment``: label a whole image with a model that needs no prompts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar
from rich.table import Table

from sixpoint.cli.common import (
    CLI_RETRY,
    PATIENCE_S,
    WAITING_TEXT,
    ImageArgument,
    JsonOption,
    NamesOption,
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
)
from sixpoint.cli.image_warnings import image_warnings
from sixpoint.cli.options.dicom import CreatorOption, DicomOption, DicomOptions, SourceOption
from sixpoint.cli.tables import print_table
from sixpoint.client import Client, Timeout
from sixpoint.io.dicomweb import image_name
from sixpoint.preview import render_preview, save_preview
from sixpoint.protocol import DEFAULT_SERVER
from sixpoint.segmentation import Segmentation

__all__ = ["segment"]


@app.command(
    epilog="Example: sixpoint segment mr.nii.gz --model segmentation_hippocampus -o labels.nii.gz --preview labels.png"
    "\n\nTo correct one label: sixpoint annotate mr.nii.gz --mask labels.nii.gz:2 --click -31,28,12 -o new.nii.gz"
)
def segment(
    image: ImageArgument,
    model: Annotated[
        str, typer.Option("--model", "-m", help="Model to use; `sixpoint models` lists those that take no prompts.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Label map to write: .nii.gz, .nrrd, .mha, .dcm, ...")],
    label: Annotated[
        list[str] | None, typer.Option(help="Name of a label to write; may be repeated.", show_default="all labels")
    ] = None,
    preview: Annotated[
        Path | None, typer.Option(help="PNG file to write: three planes of the image with the outline of all labels.")
    ] = None,
    names: NamesOption = False,
    dicom_kind: DicomOption = "",
    source: SourceOption = None,
    creator: CreatorOption = "",
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the labels.")] = 1800.0,
    spacing: SpacingOption = "",
    series: SeriesOption = None,
    server: ServerOption = DEFAULT_SERVER,
    verbose: VerboseOption = False,
    as_json: JsonOption = False,
) -> None:
    """Label a whole image with a model that needs no prompts."""
    dicom = DicomOptions(dicom_kind, source, creator)
    dicom.check(output, image)
    written = check_outputs(output, preview, inputs=(image, source), names=names)
    volume = read_image(image, spacing=spacing, series=series)
    dicom.check(output, image, volume.geometry)
    with (
        Client(server, timeout=Timeout(segment=timeout), retry=CLI_RETRY) as client,
        image_warnings(client, volume, model=model) as doubts,
    ):
        started = time.perf_counter()
        with upload_bar(quiet=as_json) as upload_progress:
            client.upload(volume, progress=upload_progress)
        uploaded = time.perf_counter()
        with _patch_bar(quiet=as_json) as patch_progress:
            segmentation = client.segment(volume, model=model, labels=label or (), progress=patch_progress)
    ended = time.perf_counter()
    segmentation.save(output, names=names, dicom=dicom.dicom, source=source, creator=creator)
    if preview:
        save_preview(render_preview(volume, (segmentation.labels > 0).astype(np.uint8)), preview)
    facts = _facts(segmentation, image=image_name(image), upload=uploaded - started, call=ended - uploaded)
    facts |= {"output": str(output), "written": [*map(str, written)], "notes": volume.notes, "warnings": doubts}
    if as_json:
        print_json(facts)
        return
    print_table(_table(facts, verbose=verbose))
    print_written(written)


@contextmanager
def _patch_bar(*, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar for the patches, and before the first of them a hint why it takes long, once it does."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("patches"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with ProgressBar(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("segmenting", total=None, visible=False)

        def update(done: int, count: int) -> None:
            timer.cancel()
            bar.update(task, completed=done, total=count, visible=True, description="segmenting")

        timer = threading.Timer(PATIENCE_S, bar.update, [task], {"visible": True, "description": WAITING_TEXT})
        timer.daemon = True
        timer.start()
        try:
            yield update
        finally:
            timer.cancel()


def _facts(segmentation: Segmentation, *, image: str, upload: float, call: float) -> dict[str, Any]:
    """Describe a segmentation for JSON.

    Args:
        segmentation: Labels of the image.
        image: Name of the image.
        upload: Duration of the upload, in seconds.
        call: Duration of the segmentation, in seconds.
    """
    timings = segmentation.timings
    phases = {
        "preprocess_ms": timings.queue + timings.preprocess,
        "inference_ms": timings.inference,
        "postprocess_ms": timings.postprocess + timings.encode,
    }
    labels = [
        {
            "number": number,
            "name": name,
            "volume_ml": round(segmentation.volume_ml(name), 2),
            "extreme_points": [list(map(int, point)) for point in segmentation.extreme_points(name).points]
            if segmentation.volume_ml(name)
            else [],
        }
        for number, name in segmentation.names.items()
    ]
    return {
        "image": image,
        "model": segmentation.model,
        "model_version": segmentation.model_version,
        "labels": labels,
        "upload_ms": round(upload * 1000, 1),
        **{name: round(duration.total_seconds() * 1000, 1) for name, duration in phases.items()},
        "call_ms": round(call * 1000, 1),
        "reply_bytes": segmentation.reply_bytes,
    }


def _table(facts: dict[str, Any], *, verbose: bool) -> Table:
    """Lay the facts out as a table; times and sizes only where asked for."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    table.add_row("image", escape(str(facts["image"])))
    table.add_row("model", escape(f"{facts['model']} (version {facts['model_version']})"))
    for label in facts["labels"]:
        volume = f"{label['volume_ml']:.1f} ml" if label["extreme_points"] else "not in this image"
        table.add_row(f"label {label['number']}", escape(f"{label['name']}: {volume}"))
    if not verbose:
        return table
    table.add_row("masks", f"{facts['reply_bytes']} bytes on the wire")
    names = {"upload": "upload_ms", "preprocessing": "preprocess_ms", "patches": "inference_ms"}
    for name, key in (names | {"postprocessing": "postprocess_ms"}).items():
        table.add_row(name, f"{facts[key]:.0f} ms")
    return table
