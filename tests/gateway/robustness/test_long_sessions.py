"""Sessions as people work in them, through the SDK: steps back, other objects, another day, another client."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sixpoint
from gateway.triton.local.server import LocalTriton
from sixpoint import errors
from tests.gateway.prompts import BOX, SIX
from tests.support.images import noisy_volume
from tests.support.servers import running_gateway

TAKE = (20, 17, 16)


@pytest.fixture
def session(client: sixpoint.Client) -> Iterator[sixpoint.Session]:
    with client.open_session(noisy_volume(), model="clicks") as session:
        yield session


def test_steps_are_taken_back_and_again(session: sixpoint.Session) -> None:
    begun = session.annotate(SIX)
    clicked = session.click(TAKE, positive=False)
    assert np.array_equal(session.undo().array, begun.array)
    assert np.array_equal(session.redo().array, clicked.array)
    assert not session.reset().array.any()
    assert session.segments == (sixpoint.SegmentInfo(1, "", 0, 2),)
    with pytest.raises(errors.NothingToUndo):
        session.undo()
    assert np.array_equal(session.redo().array, begun.array)
    assert session.revision == 6


def test_several_objects_become_one_label_image(session: sixpoint.Session, tmp_path: Path) -> None:
    first = session.annotate(SIX)
    second = session.annotate(sixpoint.Box((2, 2, 2), (6, 6, 6)), segment=7)
    session.rename(7, "lesion")
    assert [(one.number, one.name) for one in session.segments] == [(1, ""), (7, "lesion")]
    labels = session.labels()
    assert set(np.unique(labels.array)) == {0, 1, 7}
    assert np.array_equal(labels.array == 7, second.array != 0)
    assert np.array_equal(labels.array == 1, (first.array != 0) & (second.array == 0))
    session.save(tmp_path / "labels.nii.gz")
    session.save(tmp_path / "first.nrrd", segment=1)
    assert np.array_equal(sixpoint.Volume.read(tmp_path / "labels.nii.gz").array, labels.array)
    assert np.array_equal(sixpoint.Volume.read(tmp_path / "first.nrrd").array, first.array)


def test_the_log_says_what_was_shown(session: sixpoint.Session) -> None:
    click = sixpoint.Click(TAKE, positive=False)
    session.annotate(SIX)
    session.annotate(click, segment=1)
    session.annotate(BOX, segment=2)
    session.undo()
    steps = session.steps()
    assert [(one.segment, one.number, one.prompts, one.in_force) for one in steps] == [
        (1, 1, (SIX,), True),
        (1, 2, (click,), False),
        (2, 1, (BOX,), True),
    ]
    assert {(one.model, one.model_version) for one in steps} == {("clicks", "1")}
    assert session.steps(segment=2) == steps[2:]


def test_a_fork_goes_its_own_way(session: sixpoint.Session) -> None:
    begun = session.annotate(SIX)
    session.click(TAKE, positive=False)
    with session.fork(segment=1, step=1) as fork:
        assert fork.id != session.id
        assert np.array_equal(fork.mask().array, begun.array)
        fork.click((4, 17, 16))
    assert len(session.steps()) == 2


def test_a_session_is_resumed_without_its_image(client: sixpoint.Client) -> None:
    with client.open_session(noisy_volume(), model="clicks", keep=True) as session:
        mask = session.annotate(SIX)
    resumed = client.resume(session.id)
    assert resumed.volume is None
    assert resumed.geometry == noisy_volume().geometry
    assert np.array_equal(resumed.mask().array, mask.array)
    assert resumed.click(TAKE, positive=False).array[16, 17, 20] == 0
    with pytest.raises(errors.InvalidArgument, match="not the session"):
        client.resume(session.id, noisy_volume((41, 36, 32)))
    assert client.resume(session.id, noisy_volume()).volume is not None
    resumed.close()
    with pytest.raises(errors.SessionNotFound):
        client.resume(session.id)


def test_sessions_are_listed_by_owner(address: str) -> None:
    with sixpoint.Client(address, owner="Müller") as one, sixpoint.Client(address, owner="山田") as other:
        opened = [one.open_session(noisy_volume(), model="clicks").id for _ in range(3)]
        assert [found.id for found in one.sessions()] == opened[::-1]
        assert other.sessions() == []
        found = one.sessions()[0]
        assert (found.model, found.revision, found.segments) == ("clicks", 0, ())
        assert found.created <= found.used < found.expires


def test_of_two_clients_the_slower_one_looks_again(client: sixpoint.Client, session: sixpoint.Session) -> None:
    session.annotate(SIX)
    other = client.resume(session.id)
    other.click(TAKE, positive=False)
    with pytest.raises(errors.StaleRevision, match="revision 2, the call was made for 1"):
        session.click((4, 17, 16))
    assert session.refresh().revision == 2
    mask = session.click((4, 17, 16))
    assert (mask.array[16, 17, 20], mask.array[16, 17, 4]) == (0, 1)


def test_another_model_goes_on_with_the_object(session: sixpoint.Session) -> None:
    session.annotate(SIX)
    session.use_model("deaf")
    assert session.model == "deaf"
    mask = session.click(TAKE, positive=False)
    assert mask.model == "deaf"
    with pytest.raises(errors.ModelNotFound):
        session.use_model("none such")
    assert mask.array[16, 17, 20] == 0


def test_a_mask_is_corrected(session: sixpoint.Session) -> None:
    brought = np.zeros(noisy_volume().array.shape, np.uint8)
    brought[8:20, 10:25, 6:30] = 1
    mask = session.annotate(sixpoint.InitialMask.of(brought))
    assert np.array_equal(mask.array, brought)
    assert session.click((10, 17, 16), positive=False).array[16, 17, 10] == 0


async def test_the_client_for_asyncio_does_the_same(address: str, tmp_path: Path) -> None:
    async with (
        sixpoint.AsyncClient(address) as client,
        await client.open_session(noisy_volume(), model="clicks") as session,
    ):
        begun = await session.annotate(SIX)
        await session.click(TAKE, positive=False)
        assert np.array_equal((await session.undo()).array, begun.array)
        await session.redo()
        await session.rename(1, "ball")
        await session.save(tmp_path / "labels.mha")
        async with await session.fork() as fork:
            assert len(await fork.steps()) == 2
        assert (await session.refresh()).segments[0].name == "ball"
        assert session.id in [one.id for one in await client.sessions()]
        resumed = await client.resume(session.id)
        assert np.array_equal((await resumed.mask()).array, (await session.mask()).array)
        await session.use_model("deaf")
        await session.reset()
        assert not (await session.labels()).array.any()


def test_quotas_of_owners_are_kept(triton: LocalTriton) -> None:
    with running_gateway(triton_url=triton.address, owner_sessions=1) as own:
        address = f"127.0.0.1:{own.port}"
        with sixpoint.Client(address, owner="anna") as anna, sixpoint.Client(address, owner="bert") as bert:
            anna.open_session(noisy_volume(), model="clicks")
            with pytest.raises(errors.ResourceExhausted, match="SIXPOINT_OWNER_SESSIONS"):
                anna.open_session(noisy_volume(), model="clicks")
            bert.open_session(noisy_volume(), model="clicks")


@pytest.mark.parametrize("name", ["session_steps", "session_log_bytes", "owner_log_bytes", "log_bytes"])
def test_the_log_of_a_session_is_limited(triton: LocalTriton, name: str) -> None:
    settings: dict[str, Any] = {"triton_url": triton.address, name: 1}
    with (
        running_gateway(**settings) as own,
        sixpoint.Client(f"127.0.0.1:{own.port}", retry=sixpoint.Retry.none()) as client,
    ):
        session = client.open_session(noisy_volume(), model="clicks")
        begun = session.annotate(SIX)
        with pytest.raises(errors.ResourceExhausted, match=f"SIXPOINT_{name.upper()}"):
            session.click(TAKE, positive=False)
        assert np.array_equal(session.mask().array, begun.array)


def test_more_prompts_than_the_gateway_takes_are_refused_with_a_time(triton: LocalTriton) -> None:
    with running_gateway(triton_url=triton.address, max_prompts=1) as own:
        address = f"127.0.0.1:{own.port}"
        with sixpoint.Client(address, retry=sixpoint.Retry.none()) as client:
            opened = [client.open_session(noisy_volume(), model="slow") for _ in range(2)]
            with ThreadPoolExecutor(2) as threads:
                results = [threads.submit(one.annotate, SIX) for one in opened]
                refused = [result.exception() for result in results if result.exception()]
            assert len(refused) == 1
            assert isinstance(refused[0], errors.ResourceExhausted)
            assert refused[0].retry_after
