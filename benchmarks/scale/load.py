"""Users who prompt through the SDK, and what was acknowledged to them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio

from benchmarks.images.examples import Example
from sixpoint.client import AsyncClient, AsyncSession, StepInfo
from sixpoint.client._transport.channel import CHANNEL_OPTIONS
from sixpoint.errors import SixpointError
from sixpoint.mask import Mask
from sixpoint.prompts import ExtremePoints

__all__ = ["Acknowledged", "Crowd", "User", "crowd", "lost", "mask_digest"]

_OWNERS = 4


@dataclass(frozen=True)
class Acknowledged:
    """A prompt that was answered.

    Attributes:
        revision: Revision of the session with the answer.
        prompt: The prompt.
        digest: SHA-256 of the mask's voxels.
        started: Time at which it was sent, in seconds of the performance counter.
        ended: Time at which the SDK returned the mask.
    """

    revision: int
    prompt: ExtremePoints
    digest: str
    started: float
    ended: float

    @property
    def seconds(self) -> float:
        """Time until the SDK returned the mask, with all attempts."""
        return self.ended - self.started


class Attempts(grpc.aio.UnaryUnaryClientInterceptor):
    """Counts how the attempts of calls ended that failed, before the SDK repeats them.

    Attributes:
        failed: Number of failed attempts by the name of their status code.
    """

    def __init__(self) -> None:
        self.failed: Counter[str] = Counter()

    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        """Make the call, and note its code when it has ended."""
        call = await continuation(client_call_details, request)
        if (code := await call.code()) is not grpc.StatusCode.OK:
            self.failed[code.name] += 1
        return call


@dataclass
class User:
    """Somebody who prompts without a pause on a session of their own.

    Attributes:
        session: The session.
        prompts: Prompts to send, in turns.
        acknowledged: What was answered.
        errors: What the SDK raised.
    """

    session: AsyncSession
    prompts: Sequence[ExtremePoints]
    acknowledged: list[Acknowledged] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    async def work(self, goes_on: Callable[[], bool]) -> None:
        """Prompt as long as ``goes_on`` says so."""
        turns = itertools.islice(itertools.cycle(self.prompts), len(self.acknowledged), None)
        while goes_on():
            prompt, started = next(turns), time.perf_counter()
            try:
                mask = await self.session.annotate(prompt)
            except SixpointError as error:
                self.errors.append(f"{type(error).__name__}: {error.message}")
                continue
            ended = time.perf_counter()
            self.acknowledged.append(Acknowledged(mask.revision, prompt, mask_digest(mask), started, ended))


@dataclass
class Crowd:
    """Several users, of several owners, each owner with a connection of its own.

    Attributes:
        users: The users.
        attempts: How attempts failed that the SDK may have repeated.
    """

    users: list[User]
    attempts: Attempts

    async def work(self, *, users: int, seconds: float, spread: float) -> list[Acknowledged]:
        """Let some users prompt for a while, and wait for their last answers; return what was answered.

        Args:
            users: Number of users who prompt.
            seconds: Duration from the first prompt until none is sent any more.
            spread: Seconds within which the users send their first prompts: people do not begin at once.
        """
        began, end = time.perf_counter(), time.perf_counter() + seconds

        async def work(number: int) -> None:
            await asyncio.sleep(spread * number / users)
            await self.users[number].work(lambda: time.perf_counter() < end)

        await asyncio.gather(*map(work, range(users)))
        return self.answered(since=began)

    def answered(self, *, since: float) -> list[Acknowledged]:
        """Return what was answered of the prompts sent since a time of the performance counter."""
        return [each for user in self.users for each in user.acknowledged if each.started >= since]


@contextlib.asynccontextmanager
async def crowd(address: str, example: Example, *, users: int) -> AsyncIterator[Crowd]:
    """Open sessions on one image for users of several owners, through the SDK with its default retries.

    Args:
        address: Address of the load balancer, host:port.
        example: Image to prompt on.
        users: Number of users.
    """
    attempts = Attempts()
    prompts = [example.prompt(number) for number in example.numbers]
    async with contextlib.AsyncExitStack() as stack:
        clients = []
        for number in range(min(_OWNERS, users)):
            options = [*CHANNEL_OPTIONS, ("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
            channel = grpc.aio.insecure_channel(address, options=options, interceptors=[attempts])
            clients.append(
                await stack.enter_async_context(AsyncClient(address, owner=f"owner{number}", channel=channel))
            )
        sessions = [
            await clients[number % len(clients)].open_session(example.volume, model="annotation")
            for number in range(users)
        ]
        # The first answer about the image was that it is not there.
        attempts.failed.clear()
        yield Crowd([User(session, prompts) for session in sessions], attempts)


def lost(acknowledged: Sequence[Acknowledged], steps: Sequence[StepInfo]) -> list[int]:
    """Return the revisions of acknowledged prompts that a session's steps do not have, or have with other prompts.

    Args:
        acknowledged: What was acknowledged.
        steps: Steps that the session lists.
    """
    listed = {step.revision: step.prompts for step in steps}
    return [each.revision for each in acknowledged if listed.get(each.revision) != (each.prompt,)]


def mask_digest(mask: Mask) -> str:
    """Return the SHA-256 of a mask's voxels."""
    return hashlib.sha256(mask.array.tobytes()).hexdigest()
