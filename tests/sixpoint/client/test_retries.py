"""Retries: which calls are repeated, how often, and that no change is made twice."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from sixpoint import errors
from sixpoint.client import (
    AsyncClient,
    Retry,
    Timeout,
)
from sixpoint.client._retry import Attempts
from tests.sixpoint.client.fake_gateway import (
    EACH_CLIENT,
    LARGE,
    MIB,
    POINTS,
    FlakyGateway,
    settled,
)
from tests.support.images import noisy_volume

QUICK_RETRY = Retry(attempts=4, initial_backoff=0.001, max_backoff=0.002)


def fail(server: FlakyGateway, name: str, times: int, error: errors.SixpointError | None = None) -> None:
    server.failures[name] = error or errors.TritonUnavailable("away", retry_after=0.001)
    server.failures_left[name] = times


@EACH_CLIENT
async def test_a_change_is_repeated_with_the_same_id(flaky: FlakyGateway, kind: Any) -> None:
    client = kind(flaky.address, retry=QUICK_RETRY)
    session = await settled(client.open_session(noisy_volume()))
    fail(flaky, "Annotate", 3)
    await settled(session.annotate(POINTS))
    first, *others = flaky.received["Annotate"]
    assert len(others) == 3
    assert first.request_id
    assert all(other == first for other in others)
    await settled(session.annotate(POINTS))
    assert flaky.received["Annotate"][-1].request_id != first.request_id
    await settled(client.close())


@EACH_CLIENT
async def test_after_the_last_attempt_the_error_is_raised(flaky: FlakyGateway, kind: Any) -> None:
    client = kind(flaky.address, retry=QUICK_RETRY)
    fail(flaky, "ListModels", 99)
    with pytest.raises(errors.TritonUnavailable):
        await settled(client.models())
    assert len(flaky.received["ListModels"]) == 4
    await settled(client.close())


@EACH_CLIENT
@pytest.mark.parametrize(
    "error",
    [
        errors.PromptError("no"),
        errors.ResourceExhausted("full"),
        errors.StorageFull("full", retry_after=0.001),
        errors.InternalError("?"),
    ],
)
async def test_permanent_errors_are_not_retried(flaky: FlakyGateway, kind: Any, error: errors.SixpointError) -> None:
    client = kind(flaky.address, retry=QUICK_RETRY)
    fail(flaky, "ListModels", 99, error)
    with pytest.raises(type(error)):
        await settled(client.models())
    assert len(flaky.received["ListModels"]) == 1
    await settled(client.close())


@EACH_CLIENT
async def test_after_a_change_of_unknown_outcome_the_session_is_refreshed(flaky: FlakyGateway, kind: Any) -> None:
    client = kind(flaky.address, retry=QUICK_RETRY)
    session = await settled(client.open_session(noisy_volume()))
    fail(flaky, "Annotate", 4)
    with pytest.raises(errors.TritonUnavailable):
        await settled(session.annotate(POINTS))
    flaky.revision = 7
    await settled(session.annotate(POINTS))
    assert flaky.calls[-2:] == ["GetSession", "Annotate"]
    assert flaky.received["Annotate"][-1].revision == 7
    fail(flaky, "Annotate", 1, errors.PromptError("no"))
    with pytest.raises(errors.PromptError):
        await settled(session.annotate(POINTS))
    await settled(session.annotate(POINTS))
    assert flaky.calls[-2:] == ["Annotate", "Annotate"], "a refusal leaves the state certain"
    await settled(client.close())


@EACH_CLIENT
async def test_an_interrupted_upload_is_continued(flaky: FlakyGateway, kind: Any) -> None:
    client = kind(flaky.address, retry=QUICK_RETRY)
    fail(flaky, "UploadImage", 1, errors.Unavailable("broken off"))
    flaky.received_bytes = MIB
    progress: list[tuple[int, int]] = []
    volume = noisy_volume(LARGE)
    await settled(client.upload(volume, progress=lambda *now: progress.append(now)))
    ((first, *chunks),) = flaky.uploads
    assert first.offset == MIB
    assert b"".join(part.chunk for part in chunks) == volume.array.tobytes()[MIB:]
    assert progress[-1] == (volume.array.nbytes, volume.array.nbytes)
    assert progress[0] == (MIB, volume.array.nbytes)
    await settled(client.close())


@EACH_CLIENT
async def test_an_upload_waits_as_long_as_the_gateway_asks(flaky: FlakyGateway, kind: Any) -> None:
    client = kind(flaky.address, retry=Retry(attempts=3, initial_backoff=0.001, max_backoff=0.002))
    fail(flaky, "UploadImage", 99, errors.StorageUnavailable("away", retry_after=0.1))
    started = time.monotonic()
    with pytest.raises(errors.StorageUnavailable):
        await settled(client.upload(noisy_volume()))
    assert time.monotonic() - started >= 0.2
    assert flaky.calls.count("GetUpload") == 3
    await settled(client.close())


@EACH_CLIENT
async def test_an_upload_does_not_wait_beyond_its_timeout(flaky: FlakyGateway, kind: Any) -> None:
    client = kind(flaky.address, timeout=Timeout(upload=60))
    fail(flaky, "UploadImage", 99, errors.StorageUnavailable("away", retry_after=61))
    with pytest.raises(errors.StorageUnavailable):
        await settled(client.upload(noisy_volume()))
    assert flaky.calls.count("GetUpload") == 1
    await settled(client.close())


@EACH_CLIENT
async def test_an_upload_asks_for_its_offset_again_if_another_client_changed_it(flaky: FlakyGateway, kind: Any) -> None:
    client = kind(flaky.address, retry=QUICK_RETRY)
    fail(flaky, "UploadImage", 2, errors.UploadError("fewer bytes have arrived"))
    flaky.received_bytes = MIB
    await settled(client.upload(noisy_volume(LARGE)))
    assert flaky.calls.count("GetUpload") == 3 or kind is AsyncClient, (
        "AsyncClient may lose a refusal and send again within one attempt"
    )
    fail(flaky, "UploadImage", 99, errors.UploadError("torn"))
    flaky.received_bytes = 0
    flaky.images.clear()
    with pytest.raises(errors.UploadError, match="torn"):
        await settled(client.upload(noisy_volume(LARGE)))
    await settled(client.close())


async def test_a_refusal_that_grpc_loses_is_learned_by_sending_again(
    flaky: FlakyGateway,
) -> None:
    client = AsyncClient(flaky.address, retry=Retry.none())
    fail(flaky, "UploadImage", 99, errors.ChecksumMismatch("other bytes"))
    volume = noisy_volume((256, 256, 100))
    for _ in range(20):
        with pytest.raises(errors.ChecksumMismatch):
            await client.upload(volume)
    await client.close()


class Cancel(BaseException):
    """Raised by a viewer's Cancel button."""


@EACH_CLIENT
@pytest.mark.parametrize("error", [ValueError("mine"), Cancel(), errors.Unavailable("mine")], ids=repr)
async def test_an_exception_of_progress_ends_the_upload_and_reaches_the_caller(
    flaky: FlakyGateway, kind: Any, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def stop(done: int, _: int) -> None:
        if done > MIB:
            raise error

    client = kind(flaky.address, retry=QUICK_RETRY)
    with pytest.raises(type(error)) as caught:
        await settled(client.upload(noisy_volume(LARGE), progress=stop))
    assert caught.value is error
    assert [len(part.chunk) for part in flaky.uploads[0]] == [0, MIB, MIB]
    assert (flaky.calls.count("UploadImage"), caplog.records) == (1, [])
    await settled(client.close())


@EACH_CLIENT
async def test_an_image_that_the_gateway_lost_is_uploaded_again(flaky: FlakyGateway, kind: Any) -> None:
    client = kind(flaky.address, retry=QUICK_RETRY)
    session = await settled(client.open_session(noisy_volume()))
    flaky.images.clear()
    fail(flaky, "Annotate", 1, errors.ImageNotFound("damaged"))
    await settled(session.annotate(POINTS))
    assert flaky.calls[-5:] == ["Annotate", "GetImage", "GetUpload", "UploadImage", "Annotate"]
    await settled(client.close())


@EACH_CLIENT
async def test_the_owner_is_sent_with_every_call(
    flaky: FlakyGateway, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIXPOINT_OWNER", "anna")
    for owner in (None, "Müller", "山田 太郎", ""):
        client = kind(flaky.address, owner=owner)
        await settled(client.upload(noisy_volume()))
        await settled(client.close())
    assert flaky.owners == ["anna", "anna", "anna", "Müller", "山田 太郎", ""]


def test_pauses_grow_at_random_up_to_a_maximum_and_end_at_the_timeout() -> None:
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


def test_the_former_names_of_the_backoffs_still_work() -> None:
    retry = Retry(attempts=3, first=0.2, most=4.0)
    assert retry == Retry(3, 0.2, 4.0) == Retry(attempts=3, initial_backoff=0.2, max_backoff=4.0)
    assert (retry.first, retry.most) == (retry.initial_backoff, retry.max_backoff) == (0.2, 4.0)
    assert replace(retry, attempts=1) == Retry(1, 0.2, 4.0)
    assert repr(Retry()) == "Retry(attempts=8, initial_backoff=0.1, max_backoff=5.0)"
