"""``sixpoint dataset segment``: make drafts of a dataset's annotations with a model that needs no prompts."""

from __future__ import annotations

from typing import Annotated

import typer

from sixpoint.cli.common import CLI_RETRY, JsonOption, ServerOption
from sixpoint.cli.dataset.group import NameArgument, dataset
from sixpoint.cli.jobs.group import show_job, watch_job
from sixpoint.client import Client
from sixpoint.protocol import DEFAULT_SERVER

__all__ = ["segment"]


@dataset.command(epilog="Example: sixpoint dataset segment hippocampus --model segmentation_hippocampus --watch")
def segment(
    name: NameArgument,
    model: Annotated[
        str, typer.Option("--model", "-m", help="Model to use; `sixpoint models` lists those that take no prompts.")
    ],
    label: Annotated[
        list[str] | None,
        typer.Option("--label", "-l", help="Label of the drafts; may be repeated. By default all.", metavar="NAME"),
    ] = None,
    image: Annotated[
        list[str] | None, typer.Option(help="Digest of an image; may be repeated. By default all.", metavar="DIGEST")
    ] = None,
    split: Annotated[str, typer.Option(help="Only images for training, validation or test.")] = "",
    score_all: Annotated[
        bool, typer.Option("--score-all", help="Score images that get no draft, too: those that people have annotated.")
    ] = False,
    compare_with: Annotated[
        str,
        typer.Option(
            help="Model that takes extreme points, with which each draft is compared, for `sixpoint dataset next "
            "--strategy disagreement`. Drafts that were not compared are made once more.",
            metavar="MODEL",
        ),
    ] = "",
    priority: Annotated[int, typer.Option(help="Jobs with a higher one go first, -100 to 100.")] = 0,
    watch: Annotated[bool, typer.Option("--watch", help="Wait until it has ended; Ctrl-C does not end it.")] = False,
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Segment the images of a dataset in the background: each gets a draft that people correct.

    Images that have a draft of the model's version, or that somebody has annotated, are left as they are.
    With each draft is kept how uncertain the model was: `sixpoint dataset next --strategy uncertain`.
    """
    with Client(server, retry=CLI_RETRY) as client:
        info = client.jobs.segment(
            name,
            model,
            labels=label or (),
            digests=image or (),
            split=split,
            score_all=score_all,
            compare_with=compare_with,
            priority=priority,
        )
        if watch:
            watch_job(client, info.id, as_json=as_json)
        else:
            show_job(info, as_json=as_json)
