"""``trainer evaluate``: structures asked for over a gateway, answers judged, tables and plots written."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from sixpoint._typing import Array
from sixpoint.client import Client
from sixpoint.errors import DatasetError
from sixpoint.preview import render_preview, save_preview
from trainer.data.structures import LabelledImage, Structure, choose_structures
from trainer.simulation.simulated_user import ErrorClick

__all__ = ["AsJson", "Baselines", "Groups", "Limit", "Model", "Output", "Pictures", "Seed", "Server", "evaluate"]


Output = Annotated[
    Path, typer.Option("--output", "-o", file_okay=False, help="Folder for evaluation.md, evaluation.json and plots.")
]
Server = Annotated[
    str, typer.Option("--server", "-s", envvar="SIXPOINT_SERVER", help="The gateway, host:port.", metavar="HOST:PORT")
]
Model = Annotated[str, typer.Option("--model", "-m", help="Model to evaluate; `sixpoint models` lists them.")]
Groups = Annotated[str, typer.Option(help='Only these groups, "liver,spleen".', show_default="all")]
Limit = Annotated[int | None, typer.Option(min=1, help="At most so many structures of each group, drawn by the seed.")]
Seed = Annotated[int, typer.Option(help="Of the draw that --limit makes.")]
Baselines = Annotated[bool, typer.Option(help="Also judge ellipsoid, random walker and graph cut.")]
Pictures = Annotated[
    bool, typer.Option(help="Draw each structure: last answer (yellow), truth (green), what was clicked.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def evaluate(
    images: Sequence[LabelledImage],
    *,
    output: Path,
    server: str,
    model: str,
    groups: str = "",
    limit: int | None = None,
    seed: int = 0,
    baselines: bool = True,
    pictures: bool = False,
    as_json: bool = False,
) -> None:
    """Judge a model on labelled images, print the tables, and write them with all figures and the plots.

    Args:
        images: With the structures to ask for.
        output: Folder to write into.
        server: host:port of the gateway.
        model: The model's name.
        groups: Names of the groups to take, with commas between; empty: all.
        limit: At most so many structures of each group.
        seed: Of the draw that the limit makes.
        baselines: Whether to judge the methods without a network too.
        pictures: Whether to draw each structure.
        as_json: Whether to print JSON instead of the tables.

    Raises:
        DatasetError: When no structure is left to ask for.
        SixpointError: When an image cannot be read, or the gateway fails.
    """
    # Their libraries are slow to import.
    from trainer.evaluation.baselines import BASELINES
    from trainer.evaluation.plots import write_plots
    from trainer.evaluation.protocol import SkippedStructure, StructureResult, evaluate_structure
    from trainer.evaluation.tables import to_json, to_markdown

    chosen = [name.strip() for name in groups.split(",") if name.strip()]
    judged: list[StructureResult] = []
    left_out: list[SkippedStructure] = []
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Client(server) as client, Progress(*columns, TimeRemainingColumn(), console=console) as bar:
        prompts = next((info.prompts for info in client.models() if info.name == model), ())
        task = bar.add_task("reading", total=len(images))
        for image, structures in choose_structures(images, groups=chosen, limit=limit, seed=seed):
            if structures:
                with client.open_session(structures[0].image, model=model) as session:
                    for structure in structures:
                        bar.update(task, description=escape(f"{structure.group}, {structure.name}"))
                        one = evaluate_structure(
                            session,
                            structure,
                            prompts=prompts,
                            baselines=BASELINES if baselines else {},
                            on_result=_painter(output / "pictures") if pictures else None,
                        )
                        judged.append(one) if isinstance(one, StructureResult) else left_out.append(one)
            bar.update(task, advance=1, description=escape(image.name))
    if not judged:
        known = ", ".join(dict.fromkeys(group for image in images for group in image.groups)) or "none named"
        raise DatasetError(f"no structure to ask for{' in ' + groups if groups else ''}; there are the groups: {known}")
    # A limit reads the images in another order than the one that people know.
    order = list(dict.fromkeys(group for image in images for group in image.groups))
    judged.sort(key=lambda one: order.index(one.group) if one.group in order else len(order))
    output.mkdir(parents=True, exist_ok=True)
    text, figures = to_markdown(judged, left_out, model=model), to_json(judged, left_out, model=model)
    (output / "evaluation.md").write_text(text, encoding="utf-8")
    (output / "evaluation.json").write_text(json.dumps(figures, indent=1), encoding="utf-8")
    plots = write_plots(judged, output)
    if as_json:
        sys.stdout.write(json.dumps(figures, indent=1) + "\n")
        return
    Console(soft_wrap=True).print(text, markup=False, highlight=False)
    names = ", ".join(["evaluation.md", "evaluation.json", *(path.name for path in plots)])
    console.print(f"wrote {names} to {escape(str(output))}", highlight=False, soft_wrap=True)


def _painter(folder: Path) -> Callable[[Structure, Array, Array, Sequence[ErrorClick]], None]:
    def paint(structure: Structure, mask: Array, points: Array, clicks: Sequence[ErrorClick]) -> None:
        shown = [*points.tolist(), *(click.point for click in clicks if click.positive)]
        excluded = [click.point for click in clicks if not click.positive]
        picture = render_preview(structure.image, mask, shown, excluded=excluded, truth=structure.truth)
        name = re.sub(r"[^\w.-]+", "_", f"{structure.group}-{structure.name}.png")
        save_preview(picture, folder / name)

    return paint
