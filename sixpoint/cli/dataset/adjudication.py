"""Decide between annotations of one image that disagree."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sixpoint.cli.common import CLI_RETRY, JsonOption, ServerOption, WideOption, print_json
from sixpoint.cli.dataset.group import NameArgument, annotation_facts, case_bar, dataset
from sixpoint.cli.options.session_ids import resume_command
from sixpoint.cli.tables import print_table
from sixpoint.client import Client
from sixpoint.datasets import annotations_to_decide, find_disagreements, majority_masks
from sixpoint.errors import DatasetError
from sixpoint.errors.shortening import quoted
from sixpoint.prompts import InitialMask
from sixpoint.protocol import DEFAULT_SERVER

__all__ = ["adjudicate", "disagreements"]

_MAJORITY = "majority"


@dataset.command(epilog="Example: sixpoint dataset disagreements abdomen --below 0.85")
def disagreements(
    name: NameArgument,
    below: Annotated[float, typer.Option(help="Dice below which two masks of a label disagree.")] = 0.8,
    server: ServerOption = DEFAULT_SERVER,
    wide: WideOption = False,
    as_json: JsonOption = False,
) -> None:
    """List the cases on which annotators disagree and nobody has decided, the worst first. `adjudicate` decides."""
    with Client(server, retry=CLI_RETRY) as client, case_bar("comparing", quiet=as_json) as progress:
        cases = find_disagreements(client, name, below=below, progress=progress)
    if as_json:
        print_json(
            [
                {
                    "case": case.case_name,
                    "label": case.label,
                    "dice": round(case.dice, 4),
                    "annotations": [annotation_facts(info) for info in case.annotations],
                }
                for case in cases
            ]
        )
        return
    if not cases:
        Console(highlight=False).print(f"no two annotators have a Dice below {below:g}, or somebody has decided")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("case", "label", "Dice", "annotation", "annotator"):
        table.add_column(heading, no_wrap=heading == "annotation")
    for case in cases:
        for number, info in enumerate(case.annotations):
            facts = ("", "", "") if number else (case.case_name, case.label, f"{case.dice:.3f}")
            table.add_row(*map(escape, (*facts, info.id, info.annotator or "(no name)")))
    print_table(table, wide=wide)


@dataset.command(
    epilog="Example: sixpoint dataset adjudicate abdomen case-7 --take q3n5rt8vwx2yza4bcd6efghjkm\n\n"
    "Example: sixpoint dataset adjudicate abdomen case-7 --begin majority\n\n"
    "Example: sixpoint dataset adjudicate abdomen case-7 --session fqgwjm62dynp8sbxe3vkrhta5c"
)
def adjudicate(
    name: NameArgument,
    case: Annotated[str, typer.Argument(help="Name of the case; `disagreements` lists them.", metavar="CASE")],
    take: Annotated[str, typer.Option(help="Decide for this annotation, as it is.", metavar="ID")] = "",
    begin: Annotated[
        str,
        typer.Option(
            help="Open a session with the masks of this annotation, or with what the majority says.",
            metavar="ID|majority",
        ),
    ] = "",
    session: Annotated[
        str, typer.Option(help="Save this session, and decide for what it has.", metavar="SESSION_ID")
    ] = "",
    absent: Annotated[
        list[str] | None,
        typer.Option(help="With --session: label that the image has no voxel of; may be repeated.", metavar="LABEL"),
    ] = None,
    reason: Annotated[str, typer.Option(help="Reason of the decision; may be left out.")] = "",
    model: Annotated[str, typer.Option(help="With --begin: model that answers prompts.")] = "annotation",
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Decide between the annotations of a case: one is accepted, the others are rejected as "adjudicated".

    With --take one of them decides as it is. With --begin a session starts from one, or from the voxels that more than
    half of the annotators marked; correct it, and say --session.
    """
    if sum(map(bool, (take, begin, session))) != 1:
        raise typer.BadParameter("say one of --take ID, --begin ID (or majority) and --session ID")
    if absent and not session:
        raise typer.BadParameter("--absent goes with --session, whose masks are saved")
    with Client(server, retry=CLI_RETRY) as client:
        if begin:
            _begin(client, name, case, begin, model=model, server=server, as_json=as_json)
            return
        among = [info.id for info in annotations_to_decide(client, name, case, without_session=session)]
        deciding = client.datasets.save(name, session, absent=absent or ()).id if session else take
        info = client.datasets.adjudicate(deciding, among=among, reason=reason)
    if as_json:
        print_json({**annotation_facts(info), "among": among})
    else:
        rejected = len(set(among) - {info.id})
        text = f"accepted version {info.version} by {info.annotator or '(no name)'}; rejected {rejected} as adjudicated"
        Console(highlight=False, soft_wrap=True).print(escape(text))


def _begin(client: Client, name: str, case: str, source: str, *, model: str, server: str, as_json: bool) -> None:
    """Open a session on a case that begins with masks of its annotations."""
    among = annotations_to_decide(client, name, case)
    chosen = [info for info in among if source in (_MAJORITY, info.id)]
    if not chosen:
        raise DatasetError(
            f"{quoted(source)} is none of the annotations of {quoted(case)} that disagree: "
            f"{', '.join(info.id for info in among)}"
        )
    masks = majority_masks(client, chosen)
    absent = [label for label, mask in masks.items() if not mask.any()]
    with client.open_session(client.datasets.download(among[0].image_digest), model=model, keep=True) as session:
        present = [label for label in masks if label not in absent]
        for number, label in enumerate(present, 1):
            session.annotate(InitialMask.of(masks[label]), segment=number)
            session.rename(number, label)
    if as_json:
        print_json({"session": session.id, "labels": present, "absent": absent})
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print(escape(f"session {session.id} begins with: {', '.join(present) or 'no mask'}"))
    console.print(escape(f"correct it: {resume_command(session.id, server=server)}"))
    options = "".join(f" --absent {quoted(label)}" for label in absent)
    console.print(escape(f"then: sixpoint dataset adjudicate {name} {case} --session {session.id}{options}"))
