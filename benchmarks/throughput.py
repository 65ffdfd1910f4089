"""Throughput of sessions that prompt at once, against that of Triton alone with the same tensors.

Rounds of both alternate within one run: every session prompts once, then as many bare calls of Triton are sent at
once::

    make serve &
    python -m benchmarks.throughput                                  # on the phantom CT, 32 sessions
    python -m benchmarks.throughput ct.nii.gz label.nii.gz --sessions 16

Clients, gateway and Triton share the machine, so the work of the clients counts against the gateway.
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
from benchmarks.images.examples import Example, network_tensor, read_example
from benchmarks.servers.bare_triton import BareTriton
from benchmarks.servers.processes import MIB, resident, servers
from sixpoint.client import AsyncClient, AsyncSession
from sixpoint.errors import SixpointError

__all__ = ["Throughput", "figures", "measure"]

# The first sessions also allocate code and buffers that all later ones share.
_FIRST_SESSIONS = 10


@dataclass(frozen=True)
class Round:
    """Requests sent at once.

    Attributes:
        per_second: Requests answered per second.
        milliseconds: Duration of each answered request.
        failed: Number of failed requests.
    """

    per_second: float
    milliseconds: tuple[float, ...]
    failed: int


@dataclass(frozen=True)
class Throughput:
    """Result of the measurement. The field names are keys of the JSON output.

    Attributes:
        sessions: Number of sessions that prompt at once, and of bare calls of Triton.
        gateway_per_second: Prompts answered per second, median of the rounds.
        triton_per_second: Bare calls of Triton answered per second, median of the rounds.
        ratio: Throughput of the gateway over that of Triton, median of the rounds.
        gateway_p50: Median duration of a prompt, ms.
        gateway_p95: 95th percentile of the duration of a prompt, ms.
        triton_p50: Median duration of a bare call, ms.
        triton_p95: 95th percentile of the duration of a bare call, ms.
        failed: Number of failed prompts.
        mib_before: Memory of the gateway (RSS, MiB) with the image uploaded; None if it runs elsewhere.
        mib_after: Memory of the gateway (RSS, MiB) after all rounds, with all sessions open; None if it runs elsewhere.
        idle: Number of sessions that are opened and not used.
        idle_kib: Memory of the gateway per such session, KiB; None if it runs elsewhere.
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
) -> Throughput:
    """Measure throughput and memory; see :class:`Throughput`.

    Args:
        example: Image to prompt on. Sessions outline its structures in turn.
        server: Address of the gateway, host:port.
        triton: Address of the Triton behind it, host:port.
        model: Name of the model.
        sessions: Number of sessions that prompt at once.
        rounds: Number of rounds of each kind, after one that warms up.
        idle: Number of sessions to open and not use.

    Raises:
        Unavailable: The gateway does not answer.
    """
    processes = servers(server, children=False)
    async with AsyncClient(server) as client, AsyncExitStack() as stack:

        async def open_sessions(count: int) -> list[AsyncSession]:
            return [
                await stack.enter_async_context(await client.open_session(example.volume, model=model))
                for _ in range(count)
            ]

        # Before the rounds, while no freed memory is left from which idle sessions could be served.
        await open_sessions(_FIRST_SESSIONS)
        empty = resident(processes)
        await open_sessions(idle)
        idle_bytes = resident(processes) - empty
        active = await open_sessions(sessions)
        before = resident(processes)
        measured = await _alternate(active, example, BareTriton.connect(triton, model), rounds=rounds + 1)
        after = resident(processes)
    counted = measured[1:]  # the first round warms caches, connections and threads on both sides
    gateway_ms = [value for gateway, _ in counted for value in gateway.milliseconds]
    triton_ms = [value for _, bare in counted for value in bare.milliseconds]
    return Throughput(
        sessions=sessions,
        gateway_per_second=p50([gateway.per_second for gateway, _ in counted]),
        triton_per_second=p50([bare.per_second for _, bare in counted]),
        ratio=p50([gateway.per_second / bare.per_second for gateway, bare in counted]),
        gateway_p50=p50(gateway_ms),
        gateway_p95=p95(gateway_ms),
        triton_p50=p50(triton_ms),
        triton_p95=p95(triton_ms),
        failed=sum(gateway.failed for gateway, _ in measured),
        mib_before=before / MIB if processes else None,
        mib_after=after / MIB if processes else None,
        idle=idle,
        idle_kib=idle_bytes / idle / 1024 if processes and idle else None,
    )


async def _alternate(
    sessions: Sequence[AsyncSession], example: Example, bare: BareTriton, *, rounds: int
) -> list[tuple[Round, Round]]:
    """Alternate rounds of prompts, one per session, and of as many bare calls of Triton with the same tensors."""
    spec, loop = bare.spec(), asyncio.get_running_loop()
    prompts = [example.prompt(number) for number in example.numbers]
    tensors = [network_tensor(example.volume, prompt, spec) for prompt in prompts]
    result: list[tuple[Round, Round]] = []
    with ThreadPoolExecutor(len(sessions)) as pool:
        for _ in range(rounds):
            gateway = await _send_at_once(
                [session.annotate(prompt) for session, prompt in zip(sessions, cycle(prompts), strict=False)]
            )
            calls = [
                loop.run_in_executor(pool, bare.call_ms, tensor, spec)
                for tensor in islice(cycle(tensors), len(sessions))
            ]
            result.append((gateway, await _send_at_once(calls)))
    return result


def figures(measured: Throughput) -> list[Figure]:
    """Convert the measurements to figures with limits."""
    prefix = f"{measured.sessions} sessions at once"
    result = [
        Figure(name=f"{prefix}: throughput, of Triton's alone", value=measured.ratio, minimum=0.9),
        Figure(name=f"{prefix}: prompts per second", value=measured.gateway_per_second),
        Figure(name=f"{prefix}: Triton alone, calls per second", value=measured.triton_per_second),
        Figure(name=f"{prefix}: a prompt, p50", value=measured.gateway_p50, unit="ms"),
        Figure(name=f"{prefix}: a prompt, p95", value=measured.gateway_p95, unit="ms"),
        Figure(name=f"{prefix}: Triton alone, p50", value=measured.triton_p50, unit="ms"),
        Figure(name=f"{prefix}: Triton alone, p95", value=measured.triton_p95, unit="ms"),
        Figure(name=f"{prefix}: prompts that failed", value=measured.failed, maximum=0),
    ]
    if measured.mib_before is not None and measured.mib_after is not None:
        result.append(Figure(name=f"{prefix}: the gateway's memory before", value=measured.mib_before, unit="MiB"))
        result.append(Figure(name=f"{prefix}: the gateway's memory after", value=measured.mib_after, unit="MiB"))
    if measured.idle_kib is not None:
        what = f"the gateway's memory per idle session, of {measured.idle}"
        result.append(Figure(name=what, value=measured.idle_kib, unit="KiB", maximum=32))
    return result


async def _send_at_once(requests: Sequence[Awaitable[object]]) -> Round:
    """Send requests at once, and wait for all answers.

    Raises:
        SixpointError: No request was answered.
    """

    async def send(request: Awaitable[object]) -> float | SixpointError:
        try:
            await request
        except SixpointError as error:
            return error
        return (time.perf_counter() - started) * 1000

    started = time.perf_counter()
    results = await asyncio.gather(*map(send, requests))
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
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of each kind.")] = 3,
    idle: Annotated[int, typer.Option(min=0, help="Sessions to open and leave alone.")] = 200,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare throughput with Triton's alone, and measure what sessions cost in memory."""
    measured = asyncio.run(
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
    typer.echo(json.dumps(asdict(measured), indent=1) if as_json else as_markdown(figures(measured)))


if __name__ == "__main__":
    typer.run(main)
