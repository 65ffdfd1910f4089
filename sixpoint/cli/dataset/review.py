"""List annotations, and accept or reject them."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sixpoint.cli.common import CLI_RETRY, JsonOption, ServerOption, WideOption, print_json
from sixpoint.cli.dataset.group import NameArgument, annotation_facts, dataset
from sixpoint.cli.tables import print_table
from sixpoint.client import Client
from sixpoint.protocol import DEFAULT_SERVER

__all__ = ["accept", "list_annotations", "reject"]

IdArgument = Annotated[
    str, typer.Argument(help="Id of the annotation; `sixpoint dataset annotations` lists them.", metavar="ID")
]


@dataset.command("annotations", epilog="Example: sixpoint dataset annotations abdomen --state submitted")
def list_annotations(
    name: NameArgument,
    state: Annotated[str, typer.Option(help="Only those in this state: draft, submitted, accepted, rejected.")] = "",
    case: Annotated[str, typer.Option(help="Only those of this case.")] = "",
    server: ServerOption = DEFAULT_SERVER,
    wide: WideOption = False,
    as_json: JsonOption = False,
) -> None:
    """List the annotations of a dataset, the latest first."""
    with Client(server, retry=CLI_RETRY) as client:
        cases = {image.digest: image.case_name for image in client.datasets.images(name)}
        infos = [
            info
            for info in client.datasets.annotations(name, state=state)
            if not case or cases.get(info.image_digest) == case
        ]
    if as_json:
        print_json([{"case": cases.get(info.image_digest, ""), **annotation_facts(info)} for info in infos])
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("id", "case", "version", "annotator", "state", "labels", "model", "prompts", "work", "reason"):
        table.add_column(heading, no_wrap=heading == "id")
    for info in infos:
        row = (
            info.id,
            cases.get(info.image_digest, ""),
            str(info.version),
            info.annotator,
            info.state,
            ", ".join(label if count else f"no {label}" for label, count in info.voxel_counts.items()),
            f"{info.model} {info.model_version}".strip(),
            str(info.prompt_count),
            f"{info.active_seconds:.0f} s",
            info.reason,
        )
        table.add_row(*map(escape, row))
    print_table(table, wide=wide)


@dataset.command(epilog="Example: sixpoint dataset accept 5f3c0e6a1b2d4c7f8e9a0b1c2d3e4f50")
def accept(
    annotation_id: IdArgument,
    reason: Annotated[str, typer.Option(help="Reason; may be left out.")] = "",
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Accept an annotation: it is good to learn from."""
    _review(annotation_id, "accepted", reason, server, as_json=as_json)


@dataset.command(epilog='Example: sixpoint dataset reject 5f3c0e6a1b2d4c7f8e9a0b1c2d3e4f50 "the left lobe is missing"')
def reject(
    annotation_id: IdArgument,
    reason: Annotated[str, typer.Argument(help="Reason, for the annotator.")],
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Reject an annotation, with a reason."""
    _review(annotation_id, "rejected", reason, server, as_json=as_json)


def _review(annotation_id: str, state: str, reason: str, server: str, *, as_json: bool) -> None:
    with Client(server, retry=CLI_RETRY) as client:
        info = client.datasets.review(annotation_id, state, reason=reason)
    if as_json:
        print_json(annotation_facts(info))
    else:
        Console(highlight=False).print(f"{info.state} version {info.version}")
