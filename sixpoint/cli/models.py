"""``sixpoint models`` lists the models; ``sixpoint phantom`` writes a synthetic image to try them on."""

from __future__ import annotations

import filecmp
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sixpoint.cli.common import CLI_RETRY, JsonOption, ServerOption, WideOption, app, print_json
from sixpoint.cli.tables import print_table
from sixpoint.client import Client
from sixpoint.errors import InvalidArgument
from sixpoint.errors.shortening import quoted
from sixpoint.phantom import ORGANS, Phantom, make_phantom
from sixpoint.phantom.coil import COIL, make_coil
from sixpoint.prompts import ExtremePoints
from sixpoint.protocol import DEFAULT_SERVER

__all__ = ["models", "phantom"]

# So many files are named in an error.
_NAMED = 5


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
    coils: Annotated[
        int,
        typer.Option(min=0, help="Write so many scans of a hollow organ instead, at which the shipped model is bad."),
    ] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace files that hold something else.")] = False,
) -> None:
    """Write a synthetic abdominal CT, its labels, and the extreme points of its organs, to try sixpoint on.

    Files that are there already and hold something else are not replaced without --force.
    """
    console = Console(soft_wrap=True, highlight=False)
    with tempfile.TemporaryDirectory(prefix="sixpoint-") as made:
        for number in range(seed, seed + coils):
            _write_phantom(Path(made, f"{COIL}-{number:03d}"), make_coil(seed=number), {COIL: 1})
        if not coils:
            _write_phantom(Path(made), make_phantom(seed=seed), ORGANS)
        _place(Path(made), folder, force=force)
    if coils:
        console.print(f"wrote {coils} scans with labels and the points of {COIL} to {escape(str(folder))}")
        return
    console.print(f"wrote image.nii.gz, labels.nii.gz and the points of {', '.join(ORGANS)} to {escape(str(folder))}")


def _write_phantom(folder: Path, made: Phantom, organs: Mapping[str, int]) -> None:
    made.image.write(folder / "image.nii.gz")
    made.labels.write(folder / "labels.nii.gz")
    for organ, number in organs.items():
        prompt = ExtremePoints.of_mask(made.labels.array == number)
        data = {"frame": "voxel", "points": prompt.points}
        (folder / f"{organ}.json").write_text(json.dumps(data) + "\n")


def _place(made: Path, folder: Path, *, force: bool) -> None:
    """Copy files into a folder, all or none: a file of the caller's is not replaced.

    Raises:
        InvalidArgument: Files of these names hold something else.
    """
    targets = {path: folder / path.relative_to(made) for path in sorted(made.rglob("*")) if path.is_file()}
    others = [target.name for path, target in targets.items() if _holds_something_else(target, path)]
    if others and not force:
        raise InvalidArgument(
            f"{quoted(str(folder))} has files that would be replaced: {', '.join(others[:_NAMED])}; name another "
            "folder, or replace them (--force)"
        )
    for path, target in targets.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def _holds_something_else(target: Path, made: Path) -> bool:
    if target.is_file():
        return not filecmp.cmp(target, made, shallow=False)
    return target.exists() or target.is_symlink()
