"""``sixpoint models``, and ``sixpoint phantom``: what there is to work with, and on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sixpoint.cli.common import DEFAULT_SERVER, PATIENCE, AsJson, Server, app, print_json
from sixpoint.client import Client
from sixpoint.phantom import ORGANS, make_phantom
from sixpoint.prompts import ExtremePoints

__all__ = ["models", "phantom"]


@app.command(epilog="Example: sixpoint models --modality CT")
def models(
    server: Server = DEFAULT_SERVER,
    modality: Annotated[str, typer.Option(help="Only models for this modality: CT, MR, PT, US.")] = "",
    label: Annotated[str, typer.Option(help="Only models with this label.")] = "",
    as_json: AsJson = False,
) -> None:
    """List the models that can be used now."""
    with Client(server, retry=PATIENCE) as client:
        found = client.models(modality=modality, label=label)
    if as_json:
        print_json([{**vars(model)} for model in found])
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("model", "version", "takes", "for", "licence", "title"):
        # Of a narrow terminal nothing is cut off: what a model takes is what people look for.
        table.add_column(heading, no_wrap=heading in {"model", "version", "licence"}, overflow="fold")
    for model in found:
        takes, modalities = ", ".join(model.prompts) or "no prompts", ", ".join(model.modalities) or "any image"
        cells = (model.name, model.version, takes, modalities, model.licence, model.title)
        table.add_row(*map(escape, cells))
    Console().print(table)


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
