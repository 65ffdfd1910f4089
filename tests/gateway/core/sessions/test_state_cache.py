"""The cache of segment states."""

from __future__ import annotations

import numpy as np

from gateway.core.annotation.preprocess import NetworkInput, prepare
from gateway.core.annotation.prompt_state import accumulate, read_prompts
from gateway.core.images.reductions import Reductions
from gateway.core.sessions import SegmentRow, SegmentStateCache, SessionRow
from gateway.core.sessions.segment_state import SegmentState
from gateway.storage import Database
from sixpoint.geometry import Geometry
from sixpoint.prompts import Box, Click, InitialMask
from tests.gateway.core.sessions.session_process import BOX, GEOMETRY, Clock, SessionProcess
from tests.support.callers import NOBODY, caller
from tests.support.images import noisy_volume
from tests.support.models import CLICKS_SPEC


async def test_the_cache_stays_within_its_budget(database: Database, clock: Clock) -> None:
    process = SessionProcess(database, clock, budget=10_000)
    for _ in range(5):
        await process.annotate((await process.open()).row.id, BOX)
    assert 0 < process.cache.nbytes <= 10_000
    await process.sessions.close((await process.sessions.page(caller(""))).sessions[0].row.id, principal=NOBODY)
    assert process.cache.nbytes >= 0


async def test_a_change_of_the_model_keeps_the_cached_states(process: SessionProcess) -> None:
    opened = await process.open()
    loaded = await process.annotate(opened.row.id, BOX)
    await process.sessions.update(opened.row.id, model="other", names=[], principal=NOBODY)
    cached = process.cache.get(opened.row.id, 1)
    assert cached is not None
    assert (cached.revision, cached.state) == (2, loaded.state)


def put(cache: SegmentStateCache, session_id: str, state: SegmentState) -> None:
    """Cache the state of a session's only segment, at revision 1."""
    row = SessionRow(session_id, "default", "", "", "", revision=1, created=0.0, used=0.0, ended=None, expired=False)
    cache.put(row, previous_revision=0, segment=SegmentRow(1), state=state)


def test_unused_sessions_are_dropped() -> None:
    moment = [0.0]
    cache = SegmentStateCache(2**20, idle=600, now=lambda: moment[0])
    for session_id in ("early", "late"):
        put(cache, session_id, SegmentState())
        moment[0] += 400
    before = cache.nbytes
    cache.get("early", 1)
    moment[0] += 300  # "early" was used 300 seconds ago, "late" 700
    cache.expire()
    assert cache.get("late", 1) is None
    assert cache.get("early", 1) is not None
    assert cache.nbytes == before / 2
    cache.drop("early")
    assert cache.nbytes == 0


def test_large_sessions_are_dropped_early() -> None:
    moment = [0.0]
    cache = SegmentStateCache(2**26, idle=600, now=lambda: moment[0])
    geometry = Geometry((256, 256, 256))
    mask = InitialMask.of(np.ones(geometry.size[::-1], np.bool_))
    put(cache, "large", SegmentState(prompts=accumulate(None, read_prompts([mask], geometry=geometry))))
    put(cache, "small", SegmentState())
    moment[0] = 14
    cache.expire()
    assert cache.get("large", 1) is not None
    moment[0] += 16
    cache.expire()
    assert cache.get("large", 1) is None
    assert cache.get("small", 1) is not None
    assert cache.nbytes == SegmentState().nbytes


def test_initial_masks_count_once() -> None:
    mask = np.ones(GEOMETRY.size[::-1], np.bool_)
    initial = accumulate(None, read_prompts([InitialMask.of(mask)], geometry=GEOMETRY))
    clicked = accumulate(initial, read_prompts([Click((3, 4, 5))], geometry=GEOMETRY))
    nbytes = mask.nbytes + SegmentState().nbytes
    cache = SegmentStateCache(2 * nbytes)
    for session_id in ("a", "b", "c"):
        put(cache, session_id, SegmentState(prompts=initial))
    put(cache, "c", SegmentState(prompts=clicked))
    assert [cache.get(session_id, 1) is not None for session_id in ("a", "b", "c")] == [False, True, True]
    assert cache.nbytes == 2 * nbytes


def make_input() -> NetworkInput:
    volume = noisy_volume()
    prompts = accumulate(None, read_prompts([Box((8, 7, 6), (31, 28, 25))], geometry=volume.geometry))
    return prepare(Reductions(volume.array), prompts, geometry=volume.geometry, spec=CLICKS_SPEC)


def test_network_inputs_stay_while_a_session_is_worked_with() -> None:
    moment, network_input = [0.0], make_input()
    cache = SegmentStateCache(2**26, idle=600, now=lambda: moment[0])
    for session_id in ("left", "worked with"):
        put(cache, session_id, SegmentState(start_step=7, network_input=network_input))
    for moment[0] in (10, 20):
        cache.get("worked with", 1)
        cache.expire()
    states = [cached.state for session_id in ("left", "worked with") if (cached := cache.get(session_id, 1))]
    assert [state.start_step for state in states] == [7, 7]
    assert [state.network_input for state in states] == [None, network_input]
    assert cache.nbytes == sum(state.nbytes for state in states)


def test_network_inputs_are_cached_for_fewer_segments() -> None:
    network_input = make_input()
    cache = SegmentStateCache(40 * network_input.nbytes)  # a sixteenth of it: two of them
    for number, session_id in enumerate(("a", "b", "c")):
        put(cache, session_id, SegmentState(start_step=number, network_input=network_input))
    states = [cached.state for session_id in ("a", "b", "c") if (cached := cache.get(session_id, 1))]
    assert [state.start_step for state in states] == [0, 1, 2]
    assert [state.network_input for state in states] == [None, network_input, network_input]
    assert cache.nbytes == sum(state.nbytes for state in states)
    for session_id in ("a", "b", "c"):
        cache.drop(session_id)
    assert cache.nbytes == 0
