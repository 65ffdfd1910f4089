"""``sixpoint loop``: learn from what people accepted."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from sixpoint.cli.common import CLI_RETRY, JsonOption, ServerOption, app, print_json
from sixpoint.client import Client
from sixpoint.environment import repository_from_environment
from sixpoint.errors import FailedPrecondition, InvalidArgument
from sixpoint.loop import Choice, Learning, read_decisions, read_rules, replay
from sixpoint.protocol import DEFAULT_SERVER

__all__ = ["loop"]

_DEFAULT_TRITON = "127.0.0.1:8001"


@app.command(epilog="Example: sixpoint loop abdomen --rules rules.yaml --every 300")
def loop(
    name: Annotated[str, typer.Argument(help="Name of the dataset.", metavar="DATASET")],
    rules: Annotated[
        Path | None, typer.Option(dir_okay=False, exists=True, help="Rules, as YAML; needed except with --replay.")
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="Folder of the record and the rounds.", show_default="loops/DATASET"),
    ] = None,
    now: Annotated[bool, typer.Option("--now", help="Train now, whatever the rules say about when.")] = False,
    every: Annotated[
        float | None, typer.Option(min=1, help="Go on until Ctrl-C, and look again after so many seconds.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--replay", help="Make the recorded decisions again from their figures, and do nothing.")
    ] = False,
    repository: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            help="Folder of the model repository that Triton serves.",
            show_default="that of gateway serve --local-triton",
        ),
    ] = None,
    triton: Annotated[
        list[str] | None,
        typer.Option(help="Address of Triton; may be repeated.", show_default=_DEFAULT_TRITON, metavar="HOST:PORT"),
    ] = None,
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Train on what people accepted, by rules; publish what is better, and record why.

    A call does what is due, and ends: it trains where enough was accepted, publishes what passed the gates, promotes or
    ends a trial. One that was interrupted goes on. It starts trainer and exporter, which must be installed here.
    """
    console = Console(highlight=False, soft_wrap=True, quiet=as_json)
    place = folder or Path("loops") / name
    if again:
        _replay(place, console, as_json=as_json)
        return
    if rules is None:
        raise typer.BadParameter("--rules is needed, a YAML file, except with --replay")
    wanted = read_rules(rules)
    with Client(server, retry=CLI_RETRY) as client:
        learning = Learning.through(
            client,
            dataset=name,
            rules=wanted,
            folder=place,
            repository=repository or _served_repository(),
            triton=triton or [_DEFAULT_TRITON],
            say=lambda line: console.print(escape(line)),
        )
        verdict = learning.run_once(by_hand=now)
        while every is not None:
            if verdict.choice is Choice.WAIT:
                time.sleep(every)
            verdict = learning.run_once()
    if as_json:
        print_json(verdict.model_dump(mode="json"))


def _replay(folder: Path, console: Console, *, as_json: bool) -> None:
    decisions = read_decisions(folder)
    if not decisions:
        raise InvalidArgument(f"{folder} has no record of decisions; name the loop's folder by --folder")
    differences = replay(decisions)
    if as_json:
        print_json({"decisions": len(decisions), "differences": differences})
    for decision in [] if as_json else decisions:
        verdict = decision.verdict
        about = f" version {decision.version}" if decision.version else ""
        console.print(
            escape(
                f"{decision.time:%Y-%m-%d %H:%M} round {decision.round}: {verdict.choice.value}{about}: "
                f"{'; '.join(verdict.reasons)}"
            )
        )
    if differences:
        raise FailedPrecondition(f"the record gives other decisions: {'. '.join(differences)}")
    console.print(f"all {len(decisions)} decisions are made again")


def _served_repository() -> Path:
    address = repository_from_environment()
    if "://" in address:
        raise InvalidArgument(
            f"the model repository {address} is an object store, from which a training cannot start: name a folder by "
            "--repository"
        )
    return Path(address)
