"""Answering calls: a step of a segment's log, or a way back or forth along it, and the mask that follows from it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Protocol

from gateway.core.annotation.annotator import Annotator, ClientMask, RenderedMask
from gateway.core.annotation.preprocess import estimate_prompt_memory
from gateway.core.annotation.prompt_state import accumulate, check_prompt_kinds, read_prompts, start_from_clicks
from gateway.core.annotation.request import AnnotationRequest, AnnotationResult
from gateway.core.images.store import StoredImage
from gateway.core.runtime.admission import Admission
from gateway.core.runtime.catalog import Catalog
from gateway.core.runtime.deadline import Deadline
from gateway.core.runtime.stage import Stage
from gateway.core.sessions.history import SegmentHistory, Snapshot, check_revision
from gateway.core.sessions.records import SegmentRow, SessionRow
from gateway.core.sessions.segment_state import SentMask, State
from sixpoint.errors import NothingToRedo, NothingToUndo, SixpointError, StaleRevision
from sixpoint.mask import Timings
from sixpoint.prompts import Prompt

__all__ = ["Engine", "ImageSource"]

# Voxels: a larger mask is packed whole sooner than it is compared with the one before.
_MAX_COMPARED_VOXELS = 2**22
# When another gateway process was faster, the prompts are answered anew, on what it made; but not for ever.
_ATTEMPTS = 3


class ImageSource(Protocol):
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
        history: SegmentHistory,
        images: ImageSource,
        catalog: Catalog,
        annotator: Annotator,
        admission: Admission,
    ) -> None:
        self._history = history
        self._images = images
        self._catalog = catalog
        self._annotator = annotator
        self._admission = admission

    async def annotate(
        self,
        target: AnnotationRequest,
        prompts: Sequence[Prompt],
        *,
        deadline: Deadline,
        on_stage: Callable[[Stage], None] = lambda _: None,
    ) -> AnnotationResult:
        """Outline what the prompts show: one step of the segment, one call of the network, whatever their number.

        The step is stored while its mask is drawn. Whatever is raised, the session is as it was; only when the mask
        cannot be drawn, for want of memory say, the step is there, and the call is answered when it is repeated.

        Args:
            target: Whose object the prompts begin or correct.
            prompts: In the order in which they were given.
            deadline: Until when an answer is wanted.
            on_stage: Function called at the begin of each stage.

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
        on_stage(Stage.WAITING)
        asked = time.perf_counter()

        async def step(loaded: Snapshot) -> AnnotationResult:
            return await self._step(target, loaded, prompts, deadline=deadline, told=on_stage, asked=asked)

        return await self._change(target, step, appends=True)

    async def undo(self, target: AnnotationRequest) -> AnnotationResult:
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

    async def redo(self, target: AnnotationRequest) -> AnnotationResult:
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

    async def reset(self, target: AnnotationRequest) -> AnnotationResult:
        """Take back all steps of a segment; they can be redone one by one.

        Raises:
            StaleRevision: When the session is at another revision.
        """
        return await self._move(target, lambda _: 0)

    async def mask(self, target: AnnotationRequest) -> AnnotationResult:
        """The mask of a segment as it stands; empty for one without steps."""
        return await self._replay(target, await self._history.load(target.session_id, target.segment))

    async def _step(
        self,
        target: AnnotationRequest,
        loaded: Snapshot,
        prompts: Sequence[Prompt],
        *,
        deadline: Deadline,
        told: Callable[[Stage], None],
        asked: float,
    ) -> AnnotationResult:
        state = loaded.state
        image = await self._images.open(loaded.row.image_digest)
        geometry = image.volume.geometry
        call = read_prompts(prompts, geometry=geometry)
        model = self._catalog.get(loaded.row.model)
        check_prompt_kinds(call, model=model.name, accepted=model.spec.prompts)
        by_clicks = model.spec.takes_clicks_only
        call = start_from_clicks(state.shown, call, model=model.name, clicks_suffice=by_clicks, geometry=geometry)
        shown = accumulate(state.shown, call)
        async with self._admission.memory(estimate_prompt_memory(shown, geometry=geometry, spec=model.spec)):
            waited = Timings(queue=timedelta(seconds=time.perf_counter() - asked))
            # A new object has little in common with the one before.
            before = None if call.extent else _client_mask(loaded, target)
            if call.extent and call.extent.mask is not None and not len(call.clicks):
                outlined = await self._annotator.start_from_mask(
                    shown, model.spec, geometry=geometry, client_mask=before
                )
            else:
                outlined = await self._annotator.annotate(
                    image,
                    model,
                    shown,
                    previous=None if call.extent else state.answered,
                    previous_input=None if call.extent else state.prepared,
                    client_mask=before,
                    deadline=deadline,
                    on_stage=told,
                    version=model.version_for(loaded.row.id),
                )
            started = time.perf_counter()
            after = State(
                begun=loaded.segment.head + 1 if call.extent else state.begun,
                shown=shown,
                answered=outlined.prediction,
                model=model.name,
                version=outlined.version,
                threshold=model.spec.output.threshold,
                prepared=outlined.network_input,
            )
            try:
                row, segment = await self._history.append(loaded, call.prompts, after, request_ids=target.request_ids)
            except BaseException:
                outlined.rendering.cancel()
                await asyncio.gather(outlined.rendering, return_exceptions=True)
                raise
            drawn = await outlined.rendering
        self._history.keep(row, segment, replace(after, reply=_sent_mask(drawn, row.revision)))
        # What storing takes beyond drawing; the two go on side by side.
        beyond = timedelta(seconds=time.perf_counter() - started) - drawn.timings.total
        stored = Timings(store=max(beyond, timedelta()))
        return _result(row, segment, after, drawn, waited + outlined.timings + drawn.timings + stored)

    async def _move(self, target: AnnotationRequest, where: Callable[[SegmentRow], int]) -> AnnotationResult:
        return await self._change(target, lambda loaded: self._move_head(target, loaded, where(loaded.segment)))

    async def _change(
        self,
        target: AnnotationRequest,
        make: Callable[[Snapshot], Awaitable[AnnotationResult]],
        *,
        appends: bool = False,
    ) -> AnnotationResult:
        """Make a change in its turn; once, whoever repeats it, and anew when another gateway process was faster.

        What appends, and names the revision that is at hand, does not wait for a look at the database: that nothing
        has changed there is checked as the step is stored.
        """
        async with self._admission.slot(), self._history.lock(target.session_id):
            at_hand = self._history.at_hand(target.session_id, target.segment, revision=target.revision)
            if appends and at_hand is not None:
                try:
                    return await make(at_hand)
                except SixpointError:
                    loaded = await self._history.load(target.session_id, target.segment, request_ids=target.request_ids)
                    if not loaded.done and loaded.row.revision == at_hand.row.revision:
                        raise
            for attempt in range(1, _ATTEMPTS + 1):
                loaded = await self._history.load(target.session_id, target.segment, request_ids=target.request_ids)
                if loaded.done:
                    return await self._replay(target, loaded)
                check_revision(loaded.row, target.revision)
                try:
                    return await make(loaded)
                except StaleRevision:
                    if target.revision is not None or attempt == _ATTEMPTS:
                        raise
        raise AssertionError("the loop returns or raises")

    async def _move_head(self, target: AnnotationRequest, loaded: Snapshot, head: int) -> AnnotationResult:
        """Make ``head`` the segment's last step in force."""
        if head == loaded.segment.head:
            return await self._replay(target, loaded)
        state = await self._history.state_at(target.session_id, target.segment, head) if head else State()
        drawn = await self._render(loaded, state, before=_client_mask(loaded, target))
        after = replace(state, reply=_sent_mask(drawn, loaded.row.revision + 1))
        started = time.perf_counter()
        row, segment = await self._history.move(loaded, head, after, request_ids=target.request_ids)
        timings = replace(drawn.timings, store=timedelta(seconds=time.perf_counter() - started))
        return _result(row, segment, after, drawn, timings)

    async def _replay(self, target: AnnotationRequest, loaded: Snapshot) -> AnnotationResult:
        """The segment as it stands, or as it stood after the call that is repeated."""
        row, segment, state = loaded.row, loaded.segment, loaded.state
        if loaded.done and loaded.done.revision != row.revision:
            raise StaleRevision(
                f"this call was carried out at revision {loaded.done.revision}, and the session has moved on to "
                f"{row.revision} since: look at it again"
            )
        drawn = await self._render(loaded, state, before=_client_mask(loaded, target))
        return _result(row, segment, state, drawn, drawn.timings)

    async def _render(self, loaded: Snapshot, state: State, *, before: ClientMask | None) -> RenderedMask:
        if state.shown is None or state.answered is None:
            return self._annotator.render_empty(before)
        image = await self._images.open(loaded.row.image_digest)
        return await self._annotator.render(
            state.answered, state.shown, geometry=image.volume.geometry, threshold=state.threshold, client_mask=before
        )


def _client_mask(loaded: Snapshot, target: AnnotationRequest) -> ClientMask | None:
    """The mask that the caller has, if it is the segment's present one, and known here."""
    reply = loaded.state.reply
    if reply is None or not reply.since <= target.base_revision <= loaded.row.revision:
        return None
    return ClientMask(reply.mask, reply.offset, target.base_revision)


def _sent_mask(drawn: RenderedMask, revision: int) -> SentMask | None:
    """What to keep of the mask that is sent, for the next one to be compared with; None of one that is not compared."""
    return None if drawn.mask.size > _MAX_COMPARED_VOXELS else SentMask(drawn.mask, drawn.offset, revision)


def _result(
    row: SessionRow, segment: SegmentRow, state: State, drawn: RenderedMask, timings: Timings
) -> AnnotationResult:
    return AnnotationResult(row.revision, segment, drawn.packed, state.model, state.version, timings)
