"""Both clients while parts of the service are away: what is repeated, how often, and what is never done twice."""

from __future__ import annotations

import time
from typing import Any

import grpc
import pytest

from sixpoint import errors
from sixpoint.client import AsyncClient, Client, Retry, Timeout
from sixpoint.client._retry import Attempts
from sixpoint.protocol import owner_from_metadata
from sixpoint.v1 import session_service_pb2 as sessions
from tests.sixpoint.client.test_client import LARGE, MIB, POINTS, Server, server, settled
from tests.support.images import noisy_volume

__all__ = ["server"]

BOTH = pytest.mark.parametrize("kind", [Client, AsyncClient], ids=["blocking", "asyncio"])
QUICK = Retry(attempts=4, initial_backoff=0.001, max_backoff=0.002)


class Flaky(Server):
    """Fails as often as it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.times: dict[str, int] = {}
        self.seen: dict[str, list[Any]] = {}
        self.owners: list[Any] = []

    def _begin(self, name: str, request: Any, context: grpc.ServicerContext) -> None:
        self.seen.setdefault(name, []).append(request)
        self.owners.append(owner_from_metadata(context.invocation_metadata()))
        if self.times.get(name, 0) == 0:
            self.fail.pop(name, None)
        else:
            self.times[name] -= 1
        super()._begin(name, request, context)

    def GetSession(self, request: Any, context: grpc.ServicerContext) -> sessions.GetSessionResponse:  # noqa: N802
        self._begin("GetSession", request, context)
        return sessions.GetSessionResponse(session=sessions.Session(id="s1", revision=self.revision))


@pytest.fixture
def flaky(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Any:
    monkeypatch.setattr("tests.sixpoint.client.test_client.Server", Flaky)
    return request.getfixturevalue("server")


def away(server: Flaky, name: str, times: int, error: errors.SixpointError | None = None) -> None:
    server.fail[name] = error or errors.TritonUnavailable("away", retry_after=0.001)
    server.times[name] = times


@BOTH
async def test_a_change_is_repeated_with_the_same_id(flaky: Flaky, kind: Any) -> None:
    client = kind(flaky.address, retry=QUICK)
    session = await settled(client.open_session(noisy_volume()))
    away(flaky, "Annotate", 3)
    await settled(session.annotate(POINTS))
    first, *others = flaky.seen["Annotate"]
    assert len(others) == 3
    assert first.request_id
    assert all(other == first for other in others)
    await settled(session.annotate(POINTS))
    assert flaky.seen["Annotate"][-1].request_id != first.request_id
    await settled(client.close())


@BOTH
async def test_after_so_many_attempts_the_failure_is_raised(flaky: Flaky, kind: Any) -> None:
    client = kind(flaky.address, retry=QUICK)
    away(flaky, "ListModels", 99)
    with pytest.raises(errors.TritonUnavailable):
        await settled(client.models())
    assert len(flaky.seen["ListModels"]) == 4
    await settled(client.close())


@BOTH
@pytest.mark.parametrize(
    "error",
    [
        errors.PromptError("no"),
        errors.ResourceExhausted("full"),
        errors.StorageFull("full", retry_after=0.001),
        errors.InternalError("?"),
    ],
)
async def test_what_will_not_get_better_is_not_repeated(flaky: Flaky, kind: Any, error: errors.SixpointError) -> None:
    client = kind(flaky.address, retry=QUICK)
    away(flaky, "ListModels", 99, error)
    with pytest.raises(type(error)):
        await settled(client.models())
    assert len(flaky.seen["ListModels"]) == 1
    await settled(client.close())


@BOTH
async def test_a_change_that_nobody_answered_is_looked_at_before_the_next(flaky: Flaky, kind: Any) -> None:
    client = kind(flaky.address, retry=QUICK)
    session = await settled(client.open_session(noisy_volume()))
    away(flaky, "Annotate", 4)
    with pytest.raises(errors.TritonUnavailable):
        await settled(session.annotate(POINTS))
    flaky.revision = 7
    await settled(session.annotate(POINTS))
    assert flaky.calls[-2:] == ["GetSession", "Annotate"]
    assert flaky.seen["Annotate"][-1].revision == 7
    away(flaky, "Annotate", 1, errors.PromptError("no"))
    with pytest.raises(errors.PromptError):
        await settled(session.annotate(POINTS))
    await settled(session.annotate(POINTS))
    assert flaky.calls[-2:] == ["Annotate", "Annotate"], "a refusal leaves no doubt"
    await settled(client.close())


@BOTH
async def test_an_upload_goes_on_where_it_broke_off(flaky: Flaky, kind: Any) -> None:
    client = kind(flaky.address, retry=QUICK)
    away(flaky, "UploadImage", 1, errors.Unavailable("broken off"))
    flaky.received = MIB
    told: list[tuple[int, int]] = []
    volume = noisy_volume(LARGE)
    await settled(client.upload(volume, progress=lambda *now: told.append(now)))
    ((first, *chunks),) = flaky.uploads
    assert first.offset == MIB
    assert b"".join(part.chunk for part in chunks) == volume.array.tobytes()[MIB:]
    assert told[-1] == (volume.array.nbytes, volume.array.nbytes)
    assert told[0] == (MIB, volume.array.nbytes)
    await settled(client.close())


@BOTH
async def test_an_upload_waits_as_long_as_it_is_asked_to(flaky: Flaky, kind: Any) -> None:
    client = kind(flaky.address, retry=Retry(attempts=3, initial_backoff=0.001, max_backoff=0.002))
    away(flaky, "UploadImage", 99, errors.StorageUnavailable("away", retry_after=0.1))
    started = time.monotonic()
    with pytest.raises(errors.StorageUnavailable):
        await settled(client.upload(noisy_volume()))
    assert time.monotonic() - started >= 0.2
    assert flaky.calls.count("GetUpload") == 3
    await settled(client.close())


@BOTH
async def test_an_upload_does_not_wait_beyond_its_time(flaky: Flaky, kind: Any) -> None:
    client = kind(flaky.address, timeout=Timeout(upload=60))
    away(flaky, "UploadImage", 99, errors.StorageUnavailable("away", retry_after=61))
    with pytest.raises(errors.StorageUnavailable):
        await settled(client.upload(noisy_volume()))
    assert flaky.calls.count("GetUpload") == 1
    await settled(client.close())


@BOTH
async def test_an_upload_whose_beginning_another_client_changed_is_asked_for_anew(flaky: Flaky, kind: Any) -> None:
    client = kind(flaky.address, retry=QUICK)
    away(flaky, "UploadImage", 2, errors.UploadError("fewer bytes have arrived"))
    flaky.received = MIB
    await settled(client.upload(noisy_volume(LARGE)))
    assert flaky.calls.count("GetUpload") == 3 or kind is AsyncClient, "which may not hear each refusal"
    away(flaky, "UploadImage", 99, errors.UploadError("torn"))
    flaky.received = 0
    flaky.known.clear()
    with pytest.raises(errors.UploadError, match="torn"):
        await settled(client.upload(noisy_volume(LARGE)))
    await settled(client.close())


async def test_a_refusal_that_grpc_loses_while_it_sends_is_heard_when_it_is_sent_again(
    flaky: Flaky,
) -> None:
    client = AsyncClient(flaky.address, retry=Retry.none())
    away(flaky, "UploadImage", 99, errors.ChecksumMismatch("other bytes"))
    volume = noisy_volume((256, 256, 100))
    for _ in range(20):
        with pytest.raises(errors.ChecksumMismatch):
            await client.upload(volume)
    await client.close()


class Stopped(BaseException):
    """What a viewer's Cancel button raises."""


@BOTH
@pytest.mark.parametrize("error", [ValueError("mine"), Stopped(), errors.Unavailable("mine")], ids=repr)
async def test_what_progress_raises_ends_the_upload_and_reaches_the_caller(
    flaky: Flaky, kind: Any, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def stop(done: int, _: int) -> None:
        if done > MIB:
            raise error

    client = kind(flaky.address, retry=QUICK)
    with pytest.raises(type(error)) as caught:
        await settled(client.upload(noisy_volume(LARGE), progress=stop))
    assert caught.value is error
    assert [len(part.chunk) for part in flaky.uploads[0]] == [0, MIB, MIB]
    assert (flaky.calls.count("UploadImage"), caplog.records) == (1, [])
    await settled(client.close())


@BOTH
async def test_an_image_that_the_gateway_lost_is_brought_again(flaky: Flaky, kind: Any) -> None:
    client = kind(flaky.address, retry=QUICK)
    session = await settled(client.open_session(noisy_volume()))
    flaky.known.clear()
    away(flaky, "Annotate", 1, errors.ImageNotFound("damaged"))
    await settled(session.annotate(POINTS))
    assert flaky.calls[-5:] == ["Annotate", "GetImage", "GetUpload", "UploadImage", "Annotate"]
    await settled(client.close())


@BOTH
async def test_the_owner_is_named_with_every_call(flaky: Flaky, kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIXPOINT_OWNER", "anna")
    for owner in (None, "Müller", "山田 太郎", ""):
        client = kind(flaky.address, owner=owner)
        await settled(client.upload(noisy_volume()))
        await settled(client.close())
    assert flaky.owners == ["anna", "anna", "anna", "Müller", "山田 太郎", ""]


def test_pauses_grow_are_spread_and_end_with_the_time() -> None:
    retry = Retry(attempts=100, initial_backoff=1.0, max_backoff=8.0)
    error = errors.Unavailable("away")
    longest = [max(_nth(Attempts(retry, timeout=1e9, now=0.0), error, n) for _ in range(300)) for n in range(1, 7)]
    assert [round(value) for value in longest] == [1, 2, 4, 8, 8, 8]
    asked = Attempts(retry, timeout=100.0, now=0.0)
    assert 30.0 <= (asked.pause(errors.ResourceExhausted("full", retry_after=30.0), now=0.0) or 0.0) <= 37.5
    assert asked.pause(errors.ResourceExhausted("full", retry_after=30.0), now=75.0) is None
    assert Attempts(Retry.none(), timeout=9.0, now=0.0).pause(error, now=0.0) is None
    assert Timeout().call == 60


def _nth(attempts: Attempts, error: errors.SixpointError, n: int) -> float:
    pauses = [attempts.pause(error, now=0.0) for _ in range(n)]
    return pauses[-1] or 0.0
