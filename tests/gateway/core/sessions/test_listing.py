"""Which open sessions use a model, or one of its versions, on real databases."""

from __future__ import annotations

from gateway.core.sessions import ModelUse
from gateway.core.sessions.segment_state import SegmentState
from tests.gateway.core.sessions.session_process import BOX, Clock, SessionProcess


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
    await process.sessions.update(moved, model="other", names=[])
    await process.annotate(closed, BOX)
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


async def test_sessions_that_use_a_model_are_listed_in_pages_the_last_used_first(
    process: SessionProcess, clock: Clock
) -> None:
    ids = [await open_later(process, clock, owner) for owner in ("anna", "bert", "anna", "anna", "anna")]
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
