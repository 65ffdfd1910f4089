"""Lists, page by page: open sessions, those that use a model or one of its versions, and steps, on real databases."""

from __future__ import annotations

import pytest

from gateway.core.sessions import ModelUse, listing
from gateway.core.sessions.segment_state import SegmentState
from sixpoint import errors
from tests.gateway.core.sessions.session_process import BOX, Clock, SessionProcess
from tests.support.callers import NOBODY, caller


async def open_later(process: SessionProcess, clock: Clock, owner: str) -> str:
    """Open a session, one second after the last one."""
    clock.seconds += 1
    return (await process.open(owner)).row.id


async def test_sessions_use_the_models_of_their_masks_and_of_their_next_prompts(
    process: SessionProcess, clock: Clock
) -> None:
    given, not_given, shows, left, undone, second, moved, closed = [
        await open_later(process, clock, owner) for owner in ("bert", *["anna"] * 7)
    ]
    await process.annotate(shows, BOX)
    await process.annotate(left, BOX)
    await process.annotate(left, BOX, version="4")  # version 3 can be come back to, but is not shown
    await process.history.move_head(await process.annotate(undone, BOX), 0, SegmentState())
    await process.annotate(second, BOX, version="4")
    await process.annotate(second, BOX, segment=2)
    await process.annotate(moved, BOX)
    await process.sessions.update(moved, model="other", names=[], principal=NOBODY)
    await process.annotate(closed, BOX)
    await process.sessions.close(closed, principal=NOBODY)

    async def using(model: str, version: str, owner: str) -> tuple[set[str], int, int]:
        use = ModelUse(model, version, assigned=lambda session: session == given)
        found = await process.sessions.page(caller(owner), use=use)
        return {one.row.id for one in found.sessions}, found.total, found.total_all_owners

    assert await using("m", "3", "anna") == ({shows, second, moved}, 3, 4)
    assert await using("m", "3", "bert") == ({given}, 1, 4)
    assert await using("m", "4", "anna") == ({left, second}, 2, 3)
    assert await using("other", "3", "anna") == (set(), 0, 0)

    def everything(model: str) -> ModelUse:
        return ModelUse(model, "", assigned=lambda _: True)

    found = await process.sessions.page(caller("anna"), use=everything("m"))
    assert {one.row.id for one in found.sessions} == {not_given, shows, left, undone, second, moved}
    found = await process.sessions.page(caller("anna"), use=everything("other"))
    assert [one.row.id for one in found.sessions] == [moved]


async def test_sessions_that_use_a_model_are_listed_in_pages_the_last_used_first(
    process: SessionProcess, clock: Clock
) -> None:
    ids = [await open_later(process, clock, owner) for owner in ("anna", "bert", "anna", "anna", "anna")]
    clock.seconds -= 1  # two of one moment
    ids.append((await process.open("anna")).row.id)
    use = ModelUse("m", "3", assigned=lambda session: session != ids[2])
    listed, token = [], ""
    while True:
        page = await process.sessions.page(caller("anna"), size=2, token=token, use=use)
        assert (page.total, page.total_all_owners) == (4, 5)
        listed += [one.row.id for one in page.sessions]
        if not (token := page.next_token):
            break
    assert listed == [ids[4], *sorted([ids[3], ids[5]]), ids[0]]


async def test_steps_are_listed_in_pages(process: SessionProcess) -> None:
    opened = (await process.open()).row.id
    for segment in (1, 1, 3, 3, 3, 7):
        await process.annotate(opened, BOX, segment=segment)
    await process.sessions.update(opened, model=None, names=[(200, "empty")], principal=NOBODY)
    forked = (await process.sessions.fork(opened, principal=caller(""), segment=0, step=0)).row.id
    await process.annotate(forked, BOX, segment=3)

    async def pages(session: str, **conditions: int) -> list[list[tuple[int, int]]]:
        listed, token = [], ""
        while True:
            page = await process.sessions.steps(session, token=token, **conditions, principal=NOBODY)
            listed.append([(step.segment, step.number) for step, _ in page.steps])
            if not (token := page.next_token):
                return listed

    everything = [(1, 1), (1, 2), (3, 1), (3, 2), (3, 3), (7, 1)]
    assert await pages(opened) == [everything]
    assert await pages(opened, size=2) == [everything[:2], everything[2:4], everything[4:]]
    assert await pages(opened, size=2, segment=3) == [everything[2:4], everything[4:5]]
    assert await pages(forked, size=4) == [everything[:4], [(3, 3), (3, 4), (7, 1)]]
    assert await pages(opened, segment=2) == [[]]
    for token in ("x", "1", "1 x", "1 -1", "9" * 30 + " 1"):
        with pytest.raises(errors.InvalidArgument, match="unknown page token"):
            await process.sessions.steps(opened, token=token, principal=NOBODY)
    for size in (-1, 1001):
        with pytest.raises(errors.InvalidArgument, match="expected 1 to 1000, or 0 for 1000"):
            await process.sessions.steps(opened, size=size, principal=NOBODY)


async def test_a_page_ends_early_when_it_is_large(process: SessionProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = (await process.open()).row.id
    for _ in range(5):
        await process.annotate(opened, BOX)
    other = (await process.open()).row.id
    names = [(number, "ä" * 200) for number in range(1, 256)]
    for session in (opened, other):
        await process.sessions.update(session, model=None, names=names, principal=NOBODY)
    monkeypatch.setattr(listing, "_MAX_BYTES", 150)
    page = await process.sessions.steps(opened, principal=NOBODY)
    assert 1 < len(page.steps) < 5
    numbers = [step.number for step, _ in page.steps]
    while page.next_token:
        page = await process.sessions.steps(opened, token=page.next_token, principal=NOBODY)
        numbers += [step.number for step, _ in page.steps]
    assert numbers == [1, 2, 3, 4, 5]
    first = await process.sessions.page(caller(""))
    second = await process.sessions.page(caller(""), token=first.next_token)
    assert [len(found.sessions) for found in (first, second)] == [1, 1]
    assert {found.sessions[0].row.id for found in (first, second)} == {opened, other}
    assert second.next_token == ""
    assert len(first.sessions[0].segments) == 255
