"""List jobs, and control them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sixpoint.cli.common import CLI_RETRY, JsonOption, ServerOption, WideOption, print_json
from sixpoint.cli.jobs.group import IdArgument, describe, job_facts, jobs, show_job, watch_job
from sixpoint.cli.sessions.facts import duration
from sixpoint.cli.tables import print_table
from sixpoint.client import Client
from sixpoint.errors import InvalidArgument
from sixpoint.errors.shortening import quoted
from sixpoint.protocol import DEFAULT_SERVER

__all__ = ["cancel", "list_jobs", "logs", "pause", "resume", "show", "start", "watch"]


@jobs.command("list", epilog="Example: sixpoint jobs list --state running")
def list_jobs(
    state: Annotated[
        str, typer.Option(help="Only jobs that are queued, running, paused, succeeded, failed or cancelled.")
    ] = "",
    server: ServerOption = DEFAULT_SERVER,
    wide: WideOption = False,
    as_json: JsonOption = False,
) -> None:
    """List the jobs, the latest first."""
    with Client(server, retry=CLI_RETRY) as client:
        infos = client.jobs.all(state=state)
    if as_json:
        print_json([job_facts(info) for info in infos])
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("job", "kind", "state", "owner", "made"):
        table.add_column(heading, no_wrap=heading == "job")
    now = datetime.now(UTC)
    for info in infos:
        table.add_row(
            *map(escape, (info.id, info.kind, describe(info), info.owner, f"{duration(now - info.created)} ago"))
        )
    print_table(table, wide=wide)


@jobs.command(
    epilog="Example: sixpoint jobs start train run=first dataset=liver modality=CT task=segmentation minutes=45"
)
def start(
    kind: Annotated[
        str, typer.Argument(help="Kind of the job: segment, train, evaluate, publish, learn, export or import.")
    ],
    parameters: Annotated[
        list[str] | None,
        typer.Argument(
            help="Its parameters; a value is text, or JSON such as 0.1, true or [1].", metavar="NAME=VALUE..."
        ),
    ] = None,
    priority: Annotated[int, typer.Option(help="Jobs with a higher one go first, -100 to 100.")] = 0,
    watch: Annotated[bool, typer.Option("--watch", help="Wait until it has ended; Ctrl-C does not end it.")] = False,
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Start a job of any kind; a wrong or missing parameter is named."""
    values = dict(map(_read_parameter, parameters or ()))
    with Client(server, retry=CLI_RETRY) as client:
        info = client.jobs.create(kind, values, priority=priority)
        if watch:
            watch_job(client, info.id, as_json=as_json)
        else:
            show_job(info, as_json=as_json)


def _read_parameter(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise InvalidArgument(f"{quoted(text)} is no parameter; expected NAME=VALUE, as minutes=30")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


@jobs.command(epilog="Example: sixpoint jobs show fqgwjm62dynp8sbxe3vkrhta5c")
def show(job_id: IdArgument, server: ServerOption = DEFAULT_SERVER, as_json: JsonOption = False) -> None:
    """Describe a job."""
    with Client(server, retry=CLI_RETRY) as client:
        info = client.jobs.get(job_id)
    show_job(info, as_json=as_json)
    if not as_json and info.note:
        Console(highlight=False, soft_wrap=True).print(escape(info.note))


@jobs.command(epilog="Example: sixpoint jobs watch fqgwjm62dynp8sbxe3vkrhta5c")
def watch(job_id: IdArgument, server: ServerOption = DEFAULT_SERVER, as_json: JsonOption = False) -> None:
    """Wait until a job has ended or is paused. Ctrl-C ends the waiting only: the job goes on."""
    with Client(server, retry=CLI_RETRY) as client:
        watch_job(client, job_id, as_json=as_json)


@jobs.command(epilog="Example: sixpoint jobs cancel fqgwjm62dynp8sbxe3vkrhta5c")
def cancel(job_id: IdArgument, server: ServerOption = DEFAULT_SERVER, as_json: JsonOption = False) -> None:
    """Cancel a job. What it saved stays."""
    with Client(server, retry=CLI_RETRY) as client:
        show_job(client.jobs.cancel(job_id), as_json=as_json)


@jobs.command(epilog="Example: sixpoint jobs pause fqgwjm62dynp8sbxe3vkrhta5c")
def pause(job_id: IdArgument, server: ServerOption = DEFAULT_SERVER, as_json: JsonOption = False) -> None:
    """Pause a job."""
    with Client(server, retry=CLI_RETRY) as client:
        show_job(client.jobs.pause(job_id), as_json=as_json)


@jobs.command(epilog="Example: sixpoint jobs resume fqgwjm62dynp8sbxe3vkrhta5c")
def resume(job_id: IdArgument, server: ServerOption = DEFAULT_SERVER, as_json: JsonOption = False) -> None:
    """Let a job go on that was paused, or that failed. What is done is not done again."""
    with Client(server, retry=CLI_RETRY) as client:
        show_job(client.jobs.resume(job_id), as_json=as_json)


@jobs.command(epilog="Example: sixpoint jobs logs fqgwjm62dynp8sbxe3vkrhta5c")
def logs(job_id: IdArgument, server: ServerOption = DEFAULT_SERVER, as_json: JsonOption = False) -> None:
    """Print the lines that a job has written, such as why an image was left out."""
    with Client(server, retry=CLI_RETRY) as client:
        lines = client.jobs.lines(job_id)
    if as_json:
        print_json([{"number": line.number, "time": line.time.isoformat(), "text": line.text} for line in lines])
        return
    console = Console(highlight=False, soft_wrap=True)
    for line in lines:
        console.print(escape(f"{line.time:%Y-%m-%d %H:%M:%S} {line.text}"))
