"""``sixpoint learning``: let models learn from a dataset by rules that the gateway keeps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from sixpoint.cli.common import CLI_RETRY, JsonOption, ServerOption, app, print_json
from sixpoint.cli.jobs.group import show_job, watch_job
from sixpoint.client import Client, JobInfo, LearningDecision, LearningInfo
from sixpoint.errors import FailedPrecondition
from sixpoint.loop import Decision, read_rules, replay
from sixpoint.protocol import DEFAULT_SERVER

__all__ = ["learning"]

learning = typer.Typer(
    help="Let models learn from a dataset: rules, rounds as jobs, decisions, the versions that serve.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
app.add_typer(learning, name="learning")

_Name = Annotated[str, typer.Argument(help="Name of the dataset.", metavar="DATASET")]
_Task = Annotated[str, typer.Option(help="Task of the model: annotation or segmentation.")]
_Watch = Annotated[bool, typer.Option("--watch", help="Wait until it has ended; Ctrl-C does not end it.")]


@learning.command(epilog="Example: sixpoint learning rules abdomen rules.yaml")
def rules(
    name: _Name,
    file: Annotated[Path, typer.Argument(help="The rules, as YAML.", exists=True, dir_okay=False, metavar="FILE")],
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Set the rules of a dataset: when to train, how, what a new version must reach, and how it is tried."""
    content = read_rules(file).model_dump(mode="json")
    with Client(server, retry=CLI_RETRY) as client:
        _show(client.learning.set_rules(name, content), as_json=as_json)


@learning.command(epilog="Example: sixpoint learning show abdomen")
def show(name: _Name, server: ServerOption = DEFAULT_SERVER, as_json: JsonOption = False) -> None:
    """Print where the learning of a dataset is; with --json its rules, too."""
    with Client(server, retry=CLI_RETRY) as client:
        _show(client.learning.get(name), as_json=as_json)


@learning.command(epilog="Example: sixpoint learning decisions abdomen --replay")
def decisions(
    name: _Name,
    again: Annotated[
        bool, typer.Option("--replay", help="Make the decisions again from their figures; fail if they differ.")
    ] = False,
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Print what was decided, and why; with --json the figures, too."""
    with Client(server, retry=CLI_RETRY) as client:
        made = client.learning.decisions(name)
    if as_json:
        print_json([_facts(each) for each in made])
    console = Console(highlight=False, soft_wrap=True, quiet=as_json)
    for each in made:
        about = f" version {each.version}" if each.version else ""
        console.print(
            escape(
                f"{each.time:%Y-%m-%d %H:%M} round {each.round}, {each.task}: {each.choice}{about}: "
                f"{'; '.join(each.reasons)}"
            )
        )
    if not made:
        console.print("no decisions yet: a round that only waits records none")
    if again:
        if differences := replay([Decision.model_validate_json(each.record) for each in made]):
            raise FailedPrecondition(f"the record gives other decisions: {'. '.join(differences)}")
        console.print(f"all {len(made)} decisions are made again")


@learning.command("round", epilog="Example: sixpoint learning round abdomen --watch")
def start_round(
    name: _Name,
    now: Annotated[bool, typer.Option("--now", help="Train now, whatever the rules say about when.")] = False,
    watch: _Watch = False,
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Do what is due, as a job: train where enough was accepted, publish what passes, decide about a trial."""
    with Client(server, retry=CLI_RETRY) as client:
        _follow(client, client.learning.start_round(name, by_hand=now), watch=watch, as_json=as_json)


@learning.command(epilog="Example: sixpoint learning promote abdomen 7 --watch")
def promote(
    name: _Name,
    version: Annotated[str, typer.Argument(help="Number of the version.", metavar="VERSION")],
    task: _Task = "annotation",
    share: Annotated[float, typer.Option(help="Share of the sessions: 1 for all, 0 to end its trial.")] = 1.0,
    watch: _Watch = False,
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Give a version to a share of the sessions, as a job."""
    with Client(server, retry=CLI_RETRY) as client:
        info = client.learning.promote(name, version, task=task, share=share)
        _follow(client, info, watch=watch, as_json=as_json)


@learning.command(epilog="Example: sixpoint learning rollback abdomen --watch")
def rollback(
    name: _Name,
    task: _Task = "annotation",
    to: Annotated[str, typer.Option(help="Number of the version.", show_default="the one that served before")] = "",
    watch: _Watch = False,
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Let an earlier version serve again, as a job."""
    with Client(server, retry=CLI_RETRY) as client:
        _follow(client, client.learning.roll_back(name, task=task, version=to), watch=watch, as_json=as_json)


def _follow(client: Client, info: JobInfo, *, watch: bool, as_json: bool) -> None:
    if watch:
        watch_job(client, info.id, as_json=as_json)
    else:
        show_job(info, as_json=as_json)


def _show(info: LearningInfo, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "rules": dict(info.rules),
                "changed": info.changed.isoformat(),
                "changed_by": info.changed_by,
                "models": [vars(model) for model in info.models],
                "decisions": info.decision_count,
            }
        )
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print(escape(f"rules of {info.changed:%Y-%m-%d %H:%M}, {info.changed_by or '(no name)'}"))
    for model in info.models:
        published = f", published version {model.version}" if model.version else ""
        console.print(escape(f"{model.task} model {model.model}: {model.stage}, round {model.round}{published}"))


def _facts(decision: LearningDecision) -> Mapping[str, Any]:
    shown = {name: value for name, value in vars(decision).items() if name != "record"}
    return shown | {
        "time": decision.time.isoformat(),
        "reasons": list(decision.reasons),
        "annotation_digests": list(decision.annotation_digests),
    }
