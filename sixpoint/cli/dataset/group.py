"""The group of commands, and what they share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as ProgressBar

from sixpoint.cli.common import app
from sixpoint.client import AnnotationInfo, DatasetImage, DatasetInfo

__all__ = ["NameArgument", "annotation_facts", "case_bar", "dataset", "dataset_facts", "image_facts"]

dataset = typer.Typer(
    help="Keep what people annotate: images with labels, saved annotations, reviews, exports.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
app.add_typer(dataset, name="dataset")

NameArgument = Annotated[str, typer.Argument(help="Name of the dataset.", metavar="NAME")]


def dataset_facts(info: DatasetInfo) -> Mapping[str, Any]:
    """A dataset as JSON."""
    return {
        "name": info.name,
        "owner": info.owner,
        "created": info.created.isoformat(),
        "labels": [vars(label) for label in info.labels],
        "validation_share": info.validation_share,
        "test_share": info.test_share,
        "images": info.image_count,
        "accepted": info.accepted_count,
    }


def image_facts(image: DatasetImage) -> Mapping[str, Any]:
    """An image of a dataset as JSON."""
    return {
        "case": image.case_name,
        "digest": image.digest,
        "split": image.split,
        "annotations": image.annotation_count,
        "state": image.state,
    }


def annotation_facts(info: AnnotationInfo) -> Mapping[str, Any]:
    """An annotation as JSON."""
    return {
        "id": info.id,
        "dataset": info.dataset,
        "image_digest": info.image_digest,
        "version": info.version,
        "annotator": info.annotator,
        "created": info.created.isoformat(),
        "voxels": dict(info.voxel_counts),
        "session_id": info.session_id,
        "model": info.model,
        "model_version": info.model_version,
        "prompts": info.prompt_count,
        "active_seconds": round(info.active_seconds, 1),
        "state": info.state,
        "reviewer": info.reviewer,
        "reason": info.reason,
        "digest": info.digest,
        "adjudicated_by": info.adjudicated_by,
    }


@contextmanager
def case_bar(text: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar on a terminal.

    Args:
        text: What is being done.
        quiet: Whether to show nothing.

    Yields:
        A function to call with the number of steps so far and in all.
    """
    console = Console(stderr=True)
    columns = (TextColumn(text), BarColumn(), MofNCompleteColumn())
    with ProgressBar(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task(text, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
