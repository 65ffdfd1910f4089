"""What is measured: throughput with more Tritons, killed processes, a Triton that is slow."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from benchmarks.figures import Figure, p50, p95
from benchmarks.images.examples import Example
from benchmarks.scale.load import Acknowledged, Crowd, User, crowd, lost, mask_digest
from benchmarks.scale.servers import Server, Servers, kill_listener, wait_until_serving
from benchmarks.servers.waiting_triton import WaitingTriton
from sixpoint.client import AsyncClient

__all__ = ["measure_kills", "measure_slow", "measure_throughput", "throughput_figures"]

_SLOWER = 10
_AIMS = {2: 1.9, 4: 3.6}
_USERS_PER_TRITON = 4
_P95 = 1.5
_PAUSE_SECONDS = 4.0  # of load after a killed process is back, before the next one is killed
_REPLAYED = 3  # earlier steps of each session whose masks are compared


async def measure_throughput(servers: Servers, example: Example, *, wait: float, seconds: float) -> float:
    """Return the prompts answered per second, with four users for each Triton.

    Args:
        servers: Running servers.
        example: Image to prompt on.
        wait: Seconds that a prompt takes in Triton.
        seconds: Duration of the measurement.
    """
    users = _USERS_PER_TRITON * len(servers.tritons)
    for triton in servers.tritons:
        triton.wait(wait)
    async with crowd(servers.address, example, users=users) as people:
        began = time.perf_counter()
        # Queues fill first: as many rounds as there are users for each Triton, and one.
        warm_up = (_USERS_PER_TRITON + 1) * wait
        answers = await people.work(users=users, seconds=warm_up + seconds, spread=wait)
    ended = [each.ended - began - warm_up for each in answers]
    return sum(0 <= each < seconds for each in ended) / seconds


def throughput_figures(rates: dict[int, float], *, wait: float) -> list[Figure]:
    """Return the figures of prompts per second by number of Tritons."""
    first, *others = rates
    figures = [
        Figure(name=f"{first} Triton: prompts per second, of the {first / wait:.3g} possible", value=rates[first])
    ]
    return figures + [
        Figure(
            name=f"{count} Tritons: prompts per second, of those with {first}",
            value=rates[count] / rates[first],
            minimum=_AIMS.get(count) if first == 1 else None,
        )
        for count in others
    ]


@dataclass(frozen=True)
class _Kill:
    name: str
    kill: Callable[[], Awaitable[None]]


async def measure_kills(servers: Servers, example: Example, *, wait: float, users: int) -> list[Figure]:
    """Kill every process in turn while users prompt, start it again, and compare what was acknowledged with what is
    there.

    Args:
        servers: Running servers.
        example: Image to prompt on.
        wait: Seconds that a prompt takes in Triton.
        users: Number of users.
    """
    for triton in servers.tritons:
        triton.wait(wait)
    figures = []
    async with crowd(servers.address, example, users=users) as people:
        working = True
        load = asyncio.gather(*(user.work(lambda: working) for user in people.users))
        try:
            await asyncio.sleep(_PAUSE_SECONDS)
            for each in _kills(servers):
                began, failed = time.perf_counter(), people.attempts.failed.total()
                await each.kill()
                await asyncio.sleep(_PAUSE_SECONDS)
                longest = max((one.seconds for one in _under_way(people, began)), default=0.0)
                repeated = people.attempts.failed.total() - failed
                figures.append(
                    Figure(
                        name=f"kill -9 of {each.name}: longest prompt, {repeated} repeated calls",
                        value=longest,
                        unit="s",
                    )
                )
        except BaseException:
            load.cancel()
            raise
        working = False
        await load
        others = Counter({code: number for code, number in people.attempts.failed.items() if code != "UNAVAILABLE"})
        errors = [error for user in people.users for error in user.errors]
        for triton in servers.tritons:
            triton.wait(0.0)
        missing, different = await _compare(servers.address, people)
    acknowledged = sum(len(user.acknowledged) for user in people.users)
    prefix = f"{len(figures)} processes killed, {users} users"
    return [
        *figures,
        Figure(name=f"{prefix}: failed calls that the SDK repeated", value=people.attempts.failed.total()),
        Figure(
            name=f"{prefix}: of these not UNAVAILABLE{''.join(f', {code}' for code in sorted(others))}",
            value=others.total(),
            maximum=0,
        ),
        Figure(name=f"{prefix}: errors that users saw", value=len(errors), maximum=0),
        Figure(name=f"{prefix}: acknowledged prompts that are lost, of {acknowledged}", value=missing, maximum=0),
        Figure(name=f"{prefix}: masks that are not those answered", value=different, maximum=0),
    ]


async def measure_slow(
    servers: Servers, example: Example, *, users: Sequence[int], wait: float, seconds: float
) -> list[Figure]:
    """Measure prompts while one Triton is ten times slower, against those while none is.

    Args:
        servers: Running servers.
        example: Image to prompt on.
        users: Numbers of users who prompt at once.
        wait: Seconds that a prompt takes in Triton.
        seconds: Duration of each measurement.
    """
    for triton in servers.tritons:
        triton.wait(wait)
    async with crowd(servers.address, example, users=max(users)) as people:

        async def measured() -> list[list[float]]:
            # Gateways learn how fast each Triton is, also once it has answered.
            await people.work(users=max(users), seconds=_SLOWER * wait / 2, spread=wait)
            answers = [await people.work(users=number, seconds=seconds, spread=wait) for number in users]
            return [[each.seconds for each in one] for one in answers]

        healthy = await measured()
        servers.tritons[-1].wait(_SLOWER * wait)
        beside = await measured()
    figures = []
    for number, before, after in zip(users, healthy, beside, strict=True):
        prefix = f"one of {len(servers.tritons)} Tritons {_SLOWER} times slower, {number} users"
        figures += [
            Figure(name=f"{prefix}: p50, of {p50(before):.2f} s while none is", value=p50(after) / p50(before)),
            Figure(
                name=f"{prefix}: p95, of {p95(before):.2f} s while none is",
                value=p95(after) / p95(before),
                maximum=_P95,
            ),
        ]
    return figures


def _kills(servers: Servers) -> list[_Kill]:
    def of_server(server: Server) -> Callable[[], Awaitable[None]]:
        async def kill() -> None:
            server.kill()
            server.start()
            await wait_until_serving(server)

        return kill

    def of_triton(triton: WaitingTriton) -> Callable[[], Awaitable[None]]:
        async def kill() -> None:
            kill_listener(triton.address)
            await triton.stop()
            await triton.start()

        return kill

    return [
        *(_Kill(server.name, of_server(server)) for server in servers.gateways),
        *(_Kill(f"Triton {number}", of_triton(each)) for number, each in enumerate(servers.tritons, start=1)),
        _Kill(servers.envoy.name, of_server(servers.envoy)),
    ]


def _under_way(people: Crowd, began: float) -> list[Acknowledged]:
    return [each for user in people.users for each in user.acknowledged if each.ended >= began]


async def _compare(address: str, people: Crowd) -> tuple[int, int]:
    """Compare what was acknowledged with the steps and masks that a new client is told; return how many are wrong."""
    async with AsyncClient(address) as client:
        checks = [await _compare_session(client, user) for user in people.users]
    return sum(missing for missing, _ in checks), sum(different for _, different in checks)


async def _compare_session(client: AsyncClient, user: User) -> tuple[int, int]:
    session = await client.resume(user.session.id)
    steps = await session.steps()
    numbers = {step.revision: step.number for step in steps}
    different = int(mask_digest(await session.mask()) != user.acknowledged[-1].digest)
    for each in user.acknowledged[:: max(1, len(user.acknowledged) // _REPLAYED)]:
        if each.revision in numbers:
            fork = await session.fork(segment=1, step=numbers[each.revision])
            different += mask_digest(await fork.mask()) != each.digest
            await fork.close()
    return len(lost(user.acknowledged, steps)), different
