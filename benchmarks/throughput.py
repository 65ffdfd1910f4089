"""Many people at once: sessions that prompt together, against what Triton alone sustains with the same tensors.

Rounds of both alternate within one run: every session prompts once, then as many bare calls of Triton go out together::

    make serve &
    python -m benchmarks.throughput                                  # on the phantom CT, 32 sessions
    python -m benchmarks.throughput ct.nii.gz label.nii.gz --sessions 16

Clients, gateway and Triton share the machine, so what the clients do counts against the gateway.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.figures import Figure, as_markdown, p50, p95
from benchmarks.images.examples import Example, read_example, tensor
from benchmarks.overhead import BareTriton
from benchmarks.servers.processes import MIB, resident, servers
from sixpoint.client import AsyncClient, AsyncSession
from sixpoint.errors import SixpointError

__all__ = ["Many", "figures", "measure"]

# The first ones also pay for code and buffers that all later ones share.
_FIRST_SESSIONS = 10


@dataclass(frozen=True)
class Round:
    """One request of each, all at once.

    Attributes:
        per_second: Requests answered per second.
        milliseconds: Of each request that was answered.
        failed: Requests that failed.
    """

    per_second: float
    milliseconds: tuple[float, ...]
    failed: int


@dataclass(frozen=True)
class Many:
    """What was measured.

    Attributes:
        sessions: Sessions that prompted at once, and bare calls of Triton.
        gateway_per_second: Prompts answered per second, the median of the rounds.
        triton_per_second: Bare calls of Triton answered per second, the median of the rounds.
        ratio: The gateway's throughput over Triton's, the median of the rounds.
        gateway_p50: Milliseconds of a prompt among all of them.
        gateway_p95: The same.
        triton_p50: Milliseconds of a bare call among all of them.
        triton_p95: The same.
        failed: Prompts that failed.
        mib_before: Memory of the gateway (RSS, MiB) when the image was there; None when it runs elsewhere.
        mib_after: The same, after all rounds, with all sessions open.
        idle: Sessions that were opened and left alone.
        idle_kib: Memory of the gateway per such session, KiB; None when it runs elsewhere.
    """

    sessions: int
    gateway_per_second: float
    triton_per_second: float
    ratio: float
    gateway_p50: float
    gateway_p95: float
    triton_p50: float
    triton_p95: float
    failed: int
    mib_before: float | None
    mib_after: float | None
    idle: int
    idle_kib: float | None


async def measure(
    example: Example,
    *,
    server: str,
    triton: str,
    model: str = "annotation",
    sessions: int = 32,
    rounds: int = 3,
    idle: int = 200,
) -> Many:
    """Measure; see :class:`Many`.

    Args:
        example: The image; sessions outline its structures in turn.
        server: The gateway, host:port.
        triton: Triton behind it, host:port.
        model: Name of the model.
        sessions: How many prompt at once.
        rounds: InteractionChannels of each kind, after one that warms up.
        idle: How many sessions to open and leave alone.

    Raises:
        Unavailable: When the gateway does not answer.
    """
    processes = servers(server, children=False)
    bare = BareTriton.at(triton, model)
    spec = bare.spec()
    prompts = [example.prompt(number) for number in example.numbers]
    tensors = [tensor(example.volume, prompt, spec) for prompt in prompts]
    loop = asyncio.get_running_loop()
    async with AsyncClient(server) as client, AsyncExitStack() as stack:

        async def open_sessions(count: int) -> list[AsyncSession]:
            return [
                await stack.enter_async_context(await client.open_session(example.volume, model=model))
                for _ in range(count)
            ]

        # First of all, while no freed memory is left over from which they could be served.
        await open_sessions(_FIRST_SESSIONS)
        empty = resident(processes)
        await open_sessions(idle)
        idle_bytes = resident(processes) - empty
        people = await open_sessions(sessions)
        before = resident(processes)
        pool = stack.enter_context(ThreadPoolExecutor(sessions))
        found: list[tuple[Round, Round]] = []
        for _ in range(rounds + 1):
            ours = await _round([one.annotate(prompt) for one, prompt in zip(people, cycle(prompts), strict=False)])
            alone = islice(cycle(tensors), sessions)
            found.append((ours, await _round([loop.run_in_executor(pool, bare.call, one, spec) for one in alone])))
        after = resident(processes)
    # The first round warms caches, connections and threads on both sides.
    counted = found[1:]
    ours_ms = [value for ours, _ in counted for value in ours.milliseconds]
    theirs_ms = [value for _, theirs in counted for value in theirs.milliseconds]
    return Many(
        sessions=sessions,
        gateway_per_second=p50([ours.per_second for ours, _ in counted]),
        triton_per_second=p50([theirs.per_second for _, theirs in counted]),
        ratio=p50([ours.per_second / theirs.per_second for ours, theirs in counted]),
        gateway_p50=p50(ours_ms),
        gateway_p95=p95(ours_ms),
        triton_p50=p50(theirs_ms),
        triton_p95=p95(theirs_ms),
        failed=sum(ours.failed for ours, _ in found),
        mib_before=before / MIB if processes else None,
        mib_after=after / MIB if processes else None,
        idle=idle,
        idle_kib=idle_bytes / idle / 1024 if processes and idle else None,
    )


def figures(found: Many) -> list[Figure]:
    """The figures, with what they should be."""
    people = f"{found.sessions} sessions at once"
    result = [
        Figure(what=f"{people}: throughput, of Triton's alone", got=found.ratio, least=0.9),
        Figure(what=f"{people}: prompts per second", got=found.gateway_per_second),
        Figure(what=f"{people}: Triton alone, calls per second", got=found.triton_per_second),
        Figure(what=f"{people}: a prompt, p50", got=found.gateway_p50, unit="ms"),
        Figure(what=f"{people}: a prompt, p95", got=found.gateway_p95, unit="ms"),
        Figure(what=f"{people}: Triton alone, p50", got=found.triton_p50, unit="ms"),
        Figure(what=f"{people}: Triton alone, p95", got=found.triton_p95, unit="ms"),
        Figure(what=f"{people}: prompts that failed", got=found.failed, most=0),
    ]
    if found.mib_before is not None and found.mib_after is not None:
        result.append(Figure(what=f"{people}: the gateway's memory before", got=found.mib_before, unit="MiB"))
        result.append(Figure(what=f"{people}: the gateway's memory after", got=found.mib_after, unit="MiB"))
    if found.idle_kib is not None:
        what = f"the gateway's memory per idle session, of {found.idle}"
        result.append(Figure(what=what, got=found.idle_kib, unit="KiB", most=32))
    return result


async def _round(requests: Sequence[Awaitable[object]]) -> Round:
    """All requests at once.

    Raises:
        SixpointError: When none was answered.
    """

    async def one(request: Awaitable[object]) -> float | SixpointError:
        try:
            await request
        except SixpointError as error:
            return error
        return (time.perf_counter() - started) * 1000

    started = time.perf_counter()
    results = await asyncio.gather(*map(one, requests))
    duration = time.perf_counter() - started
    errors = [result for result in results if isinstance(result, SixpointError)]
    answered = tuple(result for result in results if not isinstance(result, SixpointError))
    if errors and not answered:
        raise errors[0]
    return Round(len(answered) / duration, answered, len(errors))


def main(
    image: Annotated[Path | None, typer.Argument(help="Image; without it, the phantom CT.")] = None,
    labels: Annotated[Path | None, typer.Argument(help="Its label image.")] = None,
    server: Annotated[str, typer.Option(envvar="SIXPOINT_SERVER", help="The gateway.")] = "127.0.0.1:50051",
    triton: Annotated[str, typer.Option(envvar="SIXPOINT_TRITON_URL", help="Triton behind it.")] = "127.0.0.1:8001",
    model: Annotated[str, typer.Option(help="The model.")] = "annotation",
    sessions: Annotated[int, typer.Option(min=1, help="Sessions that prompt at once.")] = 32,
    rounds: Annotated[int, typer.Option(min=1, help="InteractionChannels of each kind.")] = 3,
    idle: Annotated[int, typer.Option(min=0, help="Sessions to open and leave alone.")] = 200,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare throughput with Triton's alone, and measure what sessions cost in memory."""
    found = asyncio.run(
        measure(
            read_example(image, labels),
            server=server,
            triton=triton,
            model=model,
            sessions=sessions,
            rounds=rounds,
            idle=idle,
        )
    )
    typer.echo(json.dumps(asdict(found), indent=1) if as_json else as_markdown(figures(found)))


if __name__ == "__main__":
    typer.run(main)
