"""``sixpoint models`` lists the models; ``sixpoint phantom`` writes a synthetic image to try them on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sixpoint.cli.common import CLI_RETRY, JsonOption, ServerOption, WideOption, app, print_json
from sixpoint.cli.tables import print_table
from sixpoint.client import Client
from sixpoint.phantom import ORGANS, make_phantom
from sixpoint.prompts import ExtremePoints
from sixpoint.protocol import DEFAULT_SERVER

__all__ = ["models", "phantom"]


@app.command(epilog="Example: sixpoint models --modality CT")
def models(
    server: ServerOption = DEFAULT_SERVER,
    modality: Annotated[
        str, typer.Option(help="Only models for this modality.", metavar="CT|MR|PT|US", show_default="all models")
    ] = "",
    label: Annotated[str, typer.Option(help="Only models with this label.", show_default="all models")] = "",
    wide: WideOption = False,
    as_json: JsonOption = False,
) -> None:
    """List the models that the gateway serves."""
    with Client(server, retry=CLI_RETRY) as client:
        available = client.models(modality=modality, label=label)
    if as_json:
        print_json([{**vars(model)} for model in available])
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("model", "version", "prompts", "modalities", "licence", "title"):
        table.add_column(heading, no_wrap=heading in {"model", "version", "licence"})
    for model in available:
        prompts, modalities = ", ".join(model.prompts) or "none", ", ".join(model.modalities) or "any"
        cells = (model.name, model.version, prompts, modalities, model.licence, model.title)
        table.add_row(*map(escape, cells))
    print_table(table, wide=wide)


@app.command(epilog="Example: sixpoint phantom ct; sixpoint annotate ct/image.nii.gz -f ct/liver.json -o liver.nii.gz")
def phantom(
    folder: Annotated[Path, typer.Argument(help="Folder to write to.")],
    seed: Annotated[int, typer.Option(help="Seed of the phantom; each seed gives another one.")] = 6,
) -> None:
    """Write a synthetic abdominal CT, its labels, and the extreme points of its organs, to try sixpoint on."""
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
