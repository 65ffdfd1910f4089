"""An initial mask is the answer until clicks change it."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest

from gateway.core.sessions.request import AnnotationRequest
from gateway.storage.database import Database
from sixpoint import errors
from sixpoint._typing import Bools
from sixpoint.prompts import Click, InitialMask
from tests.gateway.core.sessions.engine.process import VOLUME, Process, voxels
from tests.support.callers import NOBODY


def two_balls() -> Bools:
    z, y, x = np.indices(VOLUME.array.shape)
    balls = ((x - 12) ** 2 + (y - 17) ** 2 + (z - 16) ** 2 < 50) | ((x - 30) ** 2 + (y - 17) ** 2 + (z - 16) ** 2 < 20)
    # A border finer than any network's grid.
    return np.asarray(balls & ((x + y + z) % 7 > 0))


async def test_a_mask_is_the_answer_until_clicks_change_it(process: Process, database: Database) -> None:
    session, mask = await process.open(), two_balls()
    answer = await process.annotate(session, InitialMask.of(mask))
    assert np.array_equal(voxels(answer.mask), mask)
    assert (answer.version, process.inference.tensors) == ("", [])
    corrected = voxels((await process.annotate(session, Click((12, 17, 16), False))).mask)
    assert corrected[16, 17, 12] == 0
    far = np.zeros_like(mask)
    far[:, :, 24:] = True
    assert np.array_equal(corrected[far], mask[far]), "the other ball is as it was"
    added = voxels((await Process(database).annotate(session, Click((21, 30, 25)))).mask)
    assert added[25, 30, 21] == 1
    assert np.array_equal(added[:, :, 28:], mask[:, :, 28:])


async def test_a_mask_and_a_click_may_come_together(process: Process) -> None:
    session, mask = await process.open(), two_balls()
    together = voxels((await process.annotate(session, InitialMask.of(mask), Click((12, 17, 16), False))).mask)
    one, two = await process.open(), voxels
    await process.annotate(one, InitialMask.of(mask))
    apart = two((await process.annotate(one, Click((12, 17, 16), False))).mask)
    assert np.array_equal(together, apart)


async def test_a_mask_of_another_grid_or_none_is_refused(process: Process) -> None:
    session = await process.open()
    with pytest.raises(errors.PromptError, match="another grid"):
        await process.annotate(session, InitialMask.of(np.ones((4, 4, 4))))
    with pytest.raises(errors.PromptError, match="empty"):
        InitialMask.of(np.zeros((4, 4, 4)))


async def test_negative_clicks_alone_only_remove_voxels(process: Process) -> None:
    session, mask = await process.open(), two_balls()
    before = voxels((await process.annotate(session, InitialMask.of(mask))).mask) > 0
    for point in ((12, 17, 16), (15, 19, 17), (13, 11, 16), (30, 17, 16)):
        after = voxels((await process.annotate(session, Click(point, False))).mask) > 0
        assert not (after & ~before).any()
        assert np.count_nonzero(after) < np.count_nonzero(before)
        before = after
    grown = voxels((await process.annotate(session, Click((12, 17, 16)))).mask) > 0
    assert grown[16, 17, 12]


async def test_a_negative_click_beside_the_mask_adds_nothing(process: Process) -> None:
    session, mask = await process.open(), two_balls()
    answer = await process.annotate(session, InitialMask.of(mask), Click((20, 17, 16), False))
    assert not (voxels(answer.mask).astype(bool) & ~mask).any()


async def test_a_mask_beyond_the_memory_is_refused_before_it_is_unpacked(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = Process(database, memory=100_000)
    session, small = await process.open(), np.zeros(VOLUME.array.shape, np.bool_)
    small[:8, :8, :8] = True
    await process.annotate(session, InitialMask.of(small))

    def unpack(self: InitialMask) -> Bools:
        raise AssertionError("the mask is unpacked")

    monkeypatch.setattr(InitialMask, "voxels", unpack)
    with pytest.raises(errors.ResourceExhausted, match=r"the mask would take .*SIXPOINT_PROMPT_MEMORY_BYTES"):
        await process.annotate(session, InitialMask.of(np.ones(VOLUME.array.shape)))


async def test_a_mask_is_unpacked_on_a_thread_once_there_is_memory(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, unpack, threads = await process.open(), InitialMask.voxels, []

    def noted(mask: InitialMask) -> Bools:
        threads.append((threading.current_thread() is threading.main_thread(), process.admission.used))
        return unpack(mask)

    monkeypatch.setattr(InitialMask, "voxels", noted)
    await process.annotate(session, InitialMask.of(two_balls()))
    ((on_loop, used),) = threads
    assert not on_loop
    assert used > two_balls().size


async def test_memory_stays_reserved_while_the_mask_of_a_cancelled_call_is_unpacked(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, unpack = await process.open(), InitialMask.voxels
    begun, go_on = threading.Event(), threading.Event()

    def slow(mask: InitialMask) -> Bools:
        begun.set()
        go_on.wait(10)
        return unpack(mask)

    monkeypatch.setattr(InitialMask, "voxels", slow)
    call = asyncio.create_task(process.annotate(session, InitialMask.of(two_balls())))
    while not begun.is_set():
        await asyncio.sleep(0.01)
    call.cancel()
    await asyncio.sleep(0.05)
    assert (call.done(), process.admission.used > two_balls().size) == (False, True)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (process.admission.used, process.admission.active) == (0, 0)


async def test_another_process_renders_a_stored_mask(process: Process, database: Database) -> None:
    session, mask = await process.open(), two_balls()
    await process.annotate(session, InitialMask.of(mask))
    await process.annotate(session, Click((12, 17, 16), False))
    other = Process(database)
    assert np.array_equal(voxels((await other.engine.undo(AnnotationRequest(NOBODY, session))).mask), mask)
    for _ in range(2):
        assert np.array_equal(voxels((await other.engine.mask(AnnotationRequest(NOBODY, session))).mask), mask)
