"""The group of commands, and what they share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as ProgressBar

from sixpoint.cli.common import app, print_json
from sixpoint.cli.sessions.facts import duration
from sixpoint.client import Client, JobInfo

__all__ = ["IdArgument", "describe", "job_facts", "jobs", "show_job", "watch_job"]

jobs = typer.Typer(
    help="Work that takes long: list, watch, pause, resume and cancel jobs.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
app.add_typer(jobs, name="jobs")

IdArgument = Annotated[str, typer.Argument(help="Id of the job; `sixpoint jobs list` shows them.", metavar="ID")]


def job_facts(info: JobInfo) -> Mapping[str, Any]:
    """A job as JSON."""
    return {
        "id": info.id,
        "kind": info.kind,
        "parameters": dict(info.parameters),
        "owner": info.owner,
        "state": info.state,
        "stopping": info.stopping,
        "priority": info.priority,
        "done": round(info.done, 3),
        "total": info.total,
        "note": info.note,
        "seconds_left": None if info.seconds_left is None else round(info.seconds_left, 1),
        "error": info.error,
        "attempt": info.attempt,
        "created": info.created.isoformat(),
        "started": info.started.isoformat() if info.started else None,
        "ended": info.ended.isoformat() if info.ended else None,
    }


def describe(info: JobInfo) -> str:
    """How far a job is, in a few words."""
    parts = [info.state + (", stopping" if info.stopping else "")]
    if info.total:
        parts.append(f"{int(info.done)} of {info.total:g}")
    if info.seconds_left:
        parts.append(f"about {duration(timedelta(seconds=info.seconds_left))} left")
    return ", ".join(parts)


def show_job(info: JobInfo, *, as_json: bool) -> None:
    """Print a job."""
    if as_json:
        print_json(job_facts(info))
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print(escape(f"job {info.id} ({info.kind}): {describe(info)}"))
    if info.error:
        console.print(escape(f"error: {info.error}"))


def watch_job(client: Client, job_id: str, *, as_json: bool) -> None:
    """Show how a job goes until it has ended or is paused, then print it; the exit code is 1 unless it is well."""
    with _bar(quiet=as_json) as update:
        info = client.jobs.watch(job_id, on_change=update)
    show_job(info, as_json=as_json)
    if info.state in ("failed", "cancelled"):
        raise typer.Exit(1)


@contextmanager
def _bar(*, quiet: bool) -> Iterator[Any]:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    console = Console(stderr=True)
    with ProgressBar(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("waiting", total=None)

        def update(info: JobInfo) -> None:
            bar.update(task, description=describe(info), completed=info.done, total=info.total or None)

        yield update
