"""Which open sessions use a model, or one of its versions, on real databases."""

from __future__ import annotations

from gateway.core.sessions import ModelUse
from gateway.core.sessions.segment_state import SegmentState
from tests.gateway.core.sessions.test_sessions import BOX, Clock, Process, clock, database, process

__all__ = ["clock", "database", "process"]


async def opened(process: Process, clock: Clock, owner: str) -> str:
    """One second later than the one before."""
    clock.seconds += 1
    return (await process.open(owner)).row.id


async def test_sessions_use_what_their_masks_show_and_what_they_would_be_given(process, clock):
    given, not_given, shows, left, undone, second, moved, closed = [
        await opened(process, clock, owner) for owner in ("bert", *["anna"] * 7)
    ]
    await process.show(shows, BOX)
    await process.show(left, BOX)
    await process.show(left, BOX, version="4")  # version 3 can be come back to, but is not shown
    await process.history.move_head(await process.show(undone, BOX), 0, SegmentState())
    await process.show(second, BOX, version="4")
    await process.show(second, BOX, segment=2)
    await process.show(moved, BOX)
    await process.sessions.update(moved, model="other", names=[])
    await process.show(closed, BOX)
    await process.sessions.close(closed)

    async def using(model: str, version: str, owner: str) -> tuple[set[str], int, int]:
        use = ModelUse(model, version, assigned=lambda session: session == given)
        found = await process.sessions.page(owner, use=use)
        return {one.row.id for one in found.sessions}, found.total, found.total_all_owners

    assert await using("m", "3", "anna") == ({shows, second, moved}, 3, 4)
    assert await using("m", "3", "bert") == ({given}, 1, 4)
    assert await using("m", "4", "anna") == ({left, second}, 2, 3)
    assert await using("other", "3", "anna") == (set(), 0, 0)

    def everything(model: str) -> ModelUse:
        return ModelUse(model, "", assigned=lambda _: True)

    found = await process.sessions.page("anna", use=everything("m"))
    assert {one.row.id for one in found.sessions} == {not_given, shows, left, undone, second, moved}
    found = await process.sessions.page("anna", use=everything("other"))
    assert [one.row.id for one in found.sessions] == [moved]


async def test_they_are_listed_page_by_page_the_last_used_first(process, clock):
    ids = [await opened(process, clock, owner) for owner in ("anna", "bert", "anna", "anna", "anna")]
    clock.seconds -= 1  # two of one moment
    ids.append((await process.open("anna")).row.id)
    use = ModelUse("m", "3", assigned=lambda session: session != ids[2])
    listed, token = [], ""
    while True:
        page = await process.sessions.page("anna", size=2, token=token, use=use)
        assert (page.total, page.total_all_owners) == (4, 5)
        listed += [one.row.id for one in page.sessions]
        if not (token := page.next_token):
            break
    assert listed == [ids[4], *sorted([ids[3], ids[5]]), ids[0]]
