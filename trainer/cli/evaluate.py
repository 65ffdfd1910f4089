"""``trainer evaluate``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from sixpoint.io.output_files import check_not_inputs
from trainer.cli.console import say
from trainer.cli.options import AsJson, Baselines, Groups, Limit, Model, Output, Pictures, Seed, Server
from trainer.data.structures import LabelledImage, list_images
from trainer.evaluation.evaluate import evaluate_images, picture_writer, write_report

__all__ = ["EPILOG", "evaluate", "run_evaluation"]

_FILES = ("evaluation.md", "evaluation.json", "clicks.png", "jitter.png", "baselines.png")

EPILOG = (
    "Examples: trainer evaluate Task09_Spleen --limit 20. trainer evaluate pairs --merge --no-baselines --json. "
    "A dataset is a folder with dataset.json (Decathlon), or with images/ and labels/."
)


def evaluate(
    dataset: Annotated[Path, typer.Argument(file_okay=False, help="Labelled images; every label is a group.")],
    output: Output = Path("out/evaluation"),
    server: Server = "127.0.0.1:50051",
    model: Model = "annotation",
    groups: Groups = "",
    limit: Limit = None,
    seed: Seed = 0,
    merge: Annotated[bool, typer.Option("--merge", help="All labels of an image together are one structure.")] = False,
    baselines: Baselines = True,
    pictures: Pictures = False,
    as_json: AsJson = False,
) -> None:
    """Evaluate an annotation model through a running gateway: six points, jittered points, up to five corrections."""
    check_not_inputs((output / name for name in _FILES), (dataset,))
    run_evaluation(
        list_images(dataset, merge=merge),
        output=output,
        server=server,
        model=model,
        groups=groups,
        limit=limit,
        seed=seed,
        baselines=baselines,
        pictures=pictures,
        as_json=as_json,
    )


def run_evaluation(
    images: Sequence[LabelledImage],
    *,
    output: Path,
    server: str,
    model: str,
    groups: str,
    limit: int | None,
    seed: int,
    baselines: bool,
    pictures: bool,
    as_json: bool,
) -> None:
    """Evaluate a model on labelled images, write the report, and print it.

    Args:
        images: Images with the structures to evaluate on.
        output: Folder for the report.
        server: Address of the gateway, host:port.
        model: Name of the model.
        groups: Names of the groups to evaluate, separated by commas; empty: all.
        limit: Maximum number of structures per group.
        seed: Seed of the draw for the limit.
        baselines: Whether to evaluate the methods without a network, too.
        pictures: Whether to draw each structure.
        as_json: Whether to print JSON instead of the tables.

    Raises:
        DatasetError: No structure is left to evaluate on.
        SixpointError: An image cannot be read, or the gateway fails.
    """
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as bar:
        # Invisible until the gateway has answered: an error before that is a single line.
        task = bar.add_task("", total=len(images), visible=False)
        evaluation = evaluate_images(
            images,
            server=server,
            model=model,
            groups=[name.strip() for name in groups.split(",") if name.strip()],
            limit=limit,
            seed=seed,
            baselines=baselines,
            report=lambda done, name: bar.update(task, completed=done, description=escape(name), visible=True),
            on_result=picture_writer(output / "pictures") if pictures else None,
        )
    report = write_report(evaluation, output)
    if as_json:
        sys.stdout.write(json.dumps(report.figures, indent=1) + "\n")
        return
    Console(soft_wrap=True).print(report.text, markup=False, highlight=False)
    say(f"wrote {', '.join(path.name for path in report.files)} to {output}")
