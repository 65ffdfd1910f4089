"""People who prompt through the Service while something happens to the pods."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator

import grpc
import grpc.aio

from benchmarks.images.examples import Example, read_example
from benchmarks.scale.load import Acknowledged, Attempts, lost, mask_digest
from sixpoint.client import AsyncClient, AsyncSession
from sixpoint.client._transport.channel import CHANNEL_OPTIONS
from sixpoint.errors import SixpointError
from tests.helm.rehearsal.setting import Release

__all__ = ["People", "prompting"]

_PAUSE_SECONDS = 1.0


class People:
    """Several people, each with a connection and a session of their own.

    Attributes:
        attempts: How attempts failed that the SDK repeated.
        errors: What the SDK raised.
        answers: Prompts that were acknowledged, in turn.
        under_way: Number of prompts that are not answered yet.
    """

    def __init__(self) -> None:
        self.attempts = Attempts()
        self.errors: list[str] = []
        self.answers: list[Acknowledged] = []
        self.under_way = 0
        self._sessions: dict[str, list[Acknowledged]] = {}
        self._goes_on = True

    def stop(self) -> None:
        """Send no more prompts."""
        self._goes_on = False

    async def work(self, session: AsyncSession, example: Example) -> None:
        """Prompt until :meth:`stop`."""
        answers = self._sessions.setdefault(session.id, [])
        for prompt in itertools.cycle([example.prompt(number) for number in example.numbers]):
            if not self._goes_on:
                return
            began = time.perf_counter()
            self.under_way += 1
            try:
                mask = await session.annotate(prompt)
            except SixpointError as error:
                self.errors.append(f"{type(error).__name__}: {error.message}")
            else:
                ended = time.perf_counter()
                answers.append(Acknowledged(mask.revision, prompt, mask_digest(mask), began, ended))
                self.answers.append(answers[-1])
            finally:
                self.under_way -= 1
            await asyncio.sleep(_PAUSE_SECONDS)

    async def compare(self, client: AsyncClient) -> tuple[int, int]:
        """Compare what was acknowledged with what another client sees.

        Returns:
            Number of prompts that their session does not have, and of sessions with another mask than the last one.
        """
        missing = different = 0
        for identifier, answers in self._sessions.items():
            session = await client.resume(identifier)
            missing += len(lost(answers, await session.steps()))
            different += mask_digest(await session.mask()) != answers[-1].digest
        return missing, different


@contextlib.asynccontextmanager
async def prompting(release: Release, *, count: int) -> AsyncIterator[People]:
    """Let people prompt until the context ends."""
    people, example = People(), read_example()
    async with contextlib.AsyncExitStack() as stack:
        sessions = []
        for _ in range(count):
            client = await stack.enter_async_context(connected(release, people.attempts))
            sessions.append(await client.open_session(example.volume, model="annotation"))
        work = asyncio.gather(*(people.work(session, example) for session in sessions))
        try:
            yield people
            people.stop()
            await work
        finally:
            # Where something else failed, nobody waits for the last answers.
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)


@contextlib.asynccontextmanager
async def connected(release: Release, attempts: Attempts) -> AsyncIterator[AsyncClient]:
    """A client with a connection of its own, over TLS and with the token."""
    credentials = grpc.ssl_channel_credentials(release.authority.read_bytes())
    options = [*CHANNEL_OPTIONS, ("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
    channel = grpc.aio.secure_channel(release.address, credentials, options=options, interceptors=[attempts])
    async with AsyncClient(release.address, token=release.token, channel=channel) as client:
        yield client
