"""Answering calls: a step of a segment's log, or a way back or forth along it, and the mask that follows from it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Protocol

from gateway.core.annotation.annotator import Annotator, ClientMask, Phase, RenderedMask
from gateway.core.annotation.preprocess import working_bytes
from gateway.core.annotation.prompt_state import accumulate, check_kinds, read_prompts, start_from_clicks
from gateway.core.annotation.request import Answer, Target
from gateway.core.images.store import StoredImage
from gateway.core.runtime.admission import Admission
from gateway.core.runtime.catalog import Catalog
from gateway.core.runtime.deadline import Deadline
from gateway.core.sessions.history import SegmentHistory, Snapshot, check_revision
from gateway.core.sessions.records import SegmentRow, SessionRow
from gateway.core.sessions.segment_state import SentMask, State
from sixpoint.errors import NothingToRedo, NothingToUndo, SixpointError, StaleRevision
from sixpoint.mask import Timings
from sixpoint.prompts import Prompt

__all__ = ["Engine", "Images"]

# Voxels: a larger mask is packed whole sooner than it is compared with the one before.
_MOST_COMPARED = 2**22
# When another gateway process was faster, the prompts are answered anew, on what it made; but not for ever.
_ATTEMPTS = 3


class Images(Protocol):
    """Whoever keeps images."""

    async def open(self, digest: str) -> StoredImage:
        """The image of this digest.

        Raises:
            ImageNotFound: When it is gone, or damaged.
        """
        ...


class Engine:
    """Answers prompts.

    Args:
        log: Of all sessions.
        images: Their images.
        catalog: The models.
        outliner: Runs them.
        admission: Who may work now.
    """

    def __init__(
        self,
        *,
        log: SegmentHistory,
        images: Images,
        catalog: Catalog,
        outliner: Annotator,
        admission: Admission,
    ) -> None:
        self._log = log
        self._images = images
        self._catalog = catalog
        self._outliner = outliner
        self._admission = admission

    async def annotate(
        self,
        target: Target,
        prompts: Sequence[Prompt],
        *,
        deadline: Deadline,
        told: Callable[[Phase], None] = lambda _: None,
    ) -> Answer:
        """Outline what the prompts show: one step of the segment, one call of the network, whatever their number.

        The step is stored while its mask is drawn. Whatever is raised, the session is as it was; only when the mask
        cannot be drawn, for want of memory say, the step is there, and the call is answered when it is repeated.

        Args:
            target: Whose object the prompts begin or correct.
            prompts: In the order in which they were given.
            deadline: Until when an answer is wanted.
            told: Called as the call goes on.

        Raises:
            PromptError: When a prompt makes no sense in this image, or they come in a wrong order.
            PromptNotSupported: When the session's model does not take such prompts.
            NothingToCorrect: When there are only clicks, and nothing was begun.
            ResourceExhausted: When the object has too many clicks, or too many prompts wait.
            StaleRevision: When the session is at another revision.
            ModelNotFound: When the session's model is gone.
            ImageNotFound: When the session's image is gone, or damaged.
            TritonUnavailable: When Triton is away.
            StorageUnavailable: When the database is.
            DeadlineExceeded: When the deadline passed before the mask was there.
        """
        told(Phase.WAITING)
        asked = time.perf_counter()

        async def step(loaded: Snapshot) -> Answer:
            return await self._step(target, loaded, prompts, deadline=deadline, told=told, asked=asked)

        return await self._change(target, step, appends=True)

    async def undo(self, target: Target) -> Answer:
        """Take back the last step of a segment.

        Raises:
            NothingToUndo: When it stands before its first.
            StaleRevision: When the session is at another revision.
        """

        def back(segment: SegmentRow) -> int:
            if not segment.head:
                raise NothingToUndo(f"segment {segment.number} stands before its first step: nothing can be undone")
            return segment.head - 1

        return await self._move(target, back)

    async def redo(self, target: Target) -> Answer:
        """Take the next step of a segment again.

        Raises:
            NothingToRedo: When it stands after its last.
            StaleRevision: When the session is at another revision.
        """

        def forth(segment: SegmentRow) -> int:
            if segment.head == segment.length:
                raise NothingToRedo(f"segment {segment.number} stands after its last step: nothing can be redone")
            return segment.head + 1

        return await self._move(target, forth)

    async def reset(self, target: Target) -> Answer:
        """Take back all steps of a segment; they can be redone one by one.

        Raises:
            StaleRevision: When the session is at another revision.
        """
        return await self._move(target, lambda _: 0)

    async def mask(self, target: Target) -> Answer:
        """The mask of a segment as it stands; empty for one without steps."""
        return await self._again(target, await self._log.load(target.session_id, target.segment))

    async def _step(
        self,
        target: Target,
        loaded: Snapshot,
        prompts: Sequence[Prompt],
        *,
        deadline: Deadline,
        told: Callable[[Phase], None],
        asked: float,
    ) -> Answer:
        state = loaded.state
        image = await self._images.open(loaded.row.image_digest)
        geometry = image.volume.geometry
        call = read_prompts(prompts, geometry=geometry)
        model = self._catalog.get(loaded.row.model)
        check_kinds(call, model=model.name, taken=model.spec.prompts)
        by_clicks = model.spec.takes_clicks_only
        call = start_from_clicks(state.shown, call, model=model.name, by_clicks=by_clicks, geometry=geometry)
        shown = accumulate(state.shown, call)
        async with self._admission.memory(working_bytes(shown, geometry=geometry, spec=model.spec)):
            waited = Timings(queue=timedelta(seconds=time.perf_counter() - asked))
            # A new object has little in common with the one before.
            before = None if call.extent else _before(loaded, target)
            if call.extent and call.extent.mask is not None and not len(call.clicks):
                outlined = await self._outliner.bring(shown, model.spec, geometry=geometry, before=before)
            else:
                outlined = await self._outliner.annotate(
                    image,
                    model,
                    shown,
                    answered=None if call.extent else state.answered,
                    prepared=None if call.extent else state.prepared,
                    client_mask=before,
                    deadline=deadline,
                    on_phase=told,
                    version=model.version_for(loaded.row.id),
                )
            started = time.perf_counter()
            after = State(
                begun=loaded.segment.head + 1 if call.extent else state.begun,
                shown=shown,
                answered=outlined.answered,
                model=model.name,
                version=outlined.version,
                threshold=model.spec.output.threshold,
                prepared=outlined.prepared,
            )
            try:
                row, segment = await self._log.append(loaded, call.prompts, after, request_ids=target.request_ids)
            except BaseException:
                outlined.drawing.cancel()
                await asyncio.gather(outlined.drawing, return_exceptions=True)
                raise
            drawn = await outlined.drawing
        self._log.keep(row, segment, replace(after, reply=_reply(drawn, row.revision)))
        # What storing takes beyond drawing; the two go on side by side.
        beyond = timedelta(seconds=time.perf_counter() - started) - drawn.timings.total
        stored = Timings(store=max(beyond, timedelta()))
        return _answer(row, segment, after, drawn, waited + outlined.timings + drawn.timings + stored)

    async def _move(self, target: Target, where: Callable[[SegmentRow], int]) -> Answer:
        return await self._change(target, lambda loaded: self._stand(target, loaded, where(loaded.segment)))

    async def _change(
        self, target: Target, make: Callable[[Snapshot], Awaitable[Answer]], *, appends: bool = False
    ) -> Answer:
        """Make a change in its turn; once, whoever repeats it, and anew when another gateway process was faster.

        What appends, and names the revision that is at hand, does not wait for a look at the database: that nothing
        has changed there is checked as the step is stored.
        """
        async with self._admission.slot(), self._log.lock(target.session_id):
            at_hand = self._log.at_hand(target.session_id, target.segment, revision=target.revision)
            if appends and at_hand is not None:
                try:
                    return await make(at_hand)
                except SixpointError:
                    loaded = await self._log.load(target.session_id, target.segment, request_ids=target.request_ids)
                    if not loaded.done and loaded.row.revision == at_hand.row.revision:
                        raise
            for attempt in range(1, _ATTEMPTS + 1):
                loaded = await self._log.load(target.session_id, target.segment, request_ids=target.request_ids)
                if loaded.done:
                    return await self._again(target, loaded)
                check_revision(loaded.row, target.revision)
                try:
                    return await make(loaded)
                except StaleRevision:
                    if target.revision is not None or attempt == _ATTEMPTS:
                        raise
        raise AssertionError("the loop returns or raises")

    async def _stand(self, target: Target, loaded: Snapshot, head: int) -> Answer:
        """Make ``head`` the segment's last step in force."""
        if head == loaded.segment.head:
            return await self._again(target, loaded)
        state = await self._log.state_at(target.session_id, target.segment, head) if head else State()
        drawn = await self._draw(loaded, state, before=_before(loaded, target))
        after = replace(state, reply=_reply(drawn, loaded.row.revision + 1))
        started = time.perf_counter()
        row, segment = await self._log.move(loaded, head, after, request_ids=target.request_ids)
        timings = replace(drawn.timings, store=timedelta(seconds=time.perf_counter() - started))
        return _answer(row, segment, after, drawn, timings)

    async def _again(self, target: Target, loaded: Snapshot) -> Answer:
        """The segment as it stands, or as it stood after the call that is repeated."""
        row, segment, state = loaded.row, loaded.segment, loaded.state
        if loaded.done and loaded.done.revision != row.revision:
            raise StaleRevision(
                f"this call was carried out at revision {loaded.done.revision}, and the session has moved on to "
                f"{row.revision} since: look at it again"
            )
        drawn = await self._draw(loaded, state, before=_before(loaded, target))
        return _answer(row, segment, state, drawn, drawn.timings)

    async def _draw(self, loaded: Snapshot, state: State, *, before: ClientMask | None) -> RenderedMask:
        if state.shown is None or state.answered is None:
            return self._outliner.nothing(before)
        image = await self._images.open(loaded.row.image_digest)
        return await self._outliner.draw(
            state.answered, state.shown, geometry=image.volume.geometry, threshold=state.threshold, before=before
        )


def _before(loaded: Snapshot, target: Target) -> ClientMask | None:
    """The mask that the caller has, if it is the segment's present one, and known here."""
    reply = loaded.state.reply
    if reply is None or not reply.since <= target.base_revision <= loaded.row.revision:
        return None
    return ClientMask(reply.mask, reply.offset, target.base_revision)


def _reply(drawn: RenderedMask, revision: int) -> SentMask | None:
    """What to keep of the mask that is sent, for the next one to be compared with; None of one that is not compared."""
    return None if drawn.mask.size > _MOST_COMPARED else SentMask(drawn.mask, drawn.offset, revision)


def _answer(row: SessionRow, segment: SegmentRow, state: State, drawn: RenderedMask, timings: Timings) -> Answer:
    return Answer(row.revision, segment, drawn.packed, state.model, state.version, timings)
