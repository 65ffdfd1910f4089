"""Carry out calls on a segment: annotate, undo, redo, reset, and read its mask."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial

from gateway.core.access import NO_AUDIT, Action, AuditEntry, Auditor, check_may_change
from gateway.core.annotation.annotator import Annotator, PendingPrediction, RenderedMask
from gateway.core.annotation.client_mask import ClientMask
from gateway.core.annotation.preprocess import estimate_mask_memory, estimate_prompt_memory, estimate_render_memory
from gateway.core.annotation.prompt_state import ObjectPrompts, PromptBatch, add_to_object
from gateway.core.images import ImageSource, StoredImage
from gateway.core.runtime import NO_OBSERVER, Admission, Catalog, Deadline, Model, Observer, Stage
from gateway.core.runtime.phases import note_wait, phase
from gateway.core.sessions.history import SegmentHistory, Snapshot
from gateway.core.sessions.records import SegmentRow
from gateway.core.sessions.request import AnnotationRequest, AnnotationResult, make_result
from gateway.core.sessions.segment_state import SegmentState
from gateway.core.sessions.sent_mask import find_client_mask, remember_sent_mask
from gateway.core.sessions.validation import check_revision, head_after, head_before
from sixpoint.errors import SixpointError, StaleRevision
from sixpoint.mask import Timings
from sixpoint.prompts import Prompt

__all__ = ["Engine"]

_Make = Callable[[Snapshot], Awaitable[AnnotationResult]]


class Engine:
    """Carries out calls on segments.

    Args:
        history: Steps of all sessions.
        images: Images of all sessions.
        catalog: Models that can be used now.
        annotator: Runs prompts through a network.
        admission: Limits the prompts that run or wait, and their memory.
        observer: Told of answered prompts.
        auditor: Takes notes of masks that are read.
    """

    def __init__(
        self,
        *,
        history: SegmentHistory,
        images: ImageSource,
        catalog: Catalog,
        annotator: Annotator,
        admission: Admission,
        observer: Observer = NO_OBSERVER,
        auditor: Auditor = NO_AUDIT,
    ) -> None:
        self._auditor = auditor
        self._history = history
        self._images = images
        self._catalog = catalog
        self._annotator = annotator
        self._admission = admission
        self._observer = observer

    async def annotate(
        self,
        request: AnnotationRequest,
        prompts: Sequence[Prompt],
        *,
        deadline: Deadline,
        on_stage: Callable[[Stage], None] = lambda _: None,
    ) -> AnnotationResult:
        """Start or correct an object: one step of the segment and one call of the network for all prompts.

        The step is stored while its mask is rendered. After an error the session is unchanged, with one exception: if
        only rendering fails, for example for lack of memory, the step is stored, and repeating the call returns it.

        Args:
            request: Segment that the prompts are for, and the conditions of the call.
            prompts: Prompts in the order in which they were given.
            deadline: Moment by which the result is needed.
            on_stage: Function called at the begin of each stage.

        Raises:
            PromptError: When a prompt does not fit the image, or the prompts are in a wrong order.
            PromptNotSupported: When the session's model does not accept a prompt's kind.
            NothingToCorrect: When there are only clicks, and no object to correct.
            ResourceExhausted: When the object has too many clicks, the log too many steps, or too many prompts wait.
            StaleRevision: When the session is at another revision.
            PermissionDenied: When the session belongs to somebody else.
            ModelNotFound: When the session's model is no longer served.
            ImageNotFound: When the session's image was removed, or is damaged.
            TritonUnavailable: When Triton cannot be reached.
            StorageUnavailable: When the database cannot be reached.
            DeadlineExceeded: When the deadline passes before the mask is ready.
        """
        on_stage(Stage.WAITING)
        started = time.perf_counter()
        add_step = partial(self._add_step, request, prompts, deadline=deadline, on_stage=on_stage, started=started)
        result = await self._change(request, add_step, appends=True)
        self._observer.answered(model=result.model, version=result.version, timings=result.timings)
        return result

    async def undo(self, request: AnnotationRequest) -> AnnotationResult:
        """Undo the last step of a segment.

        Raises:
            NothingToUndo: When the segment is before its first step.
            StaleRevision: When the session is at another revision.
        """
        return await self._change(request, partial(self._move_head, request, head_before))

    async def redo(self, request: AnnotationRequest) -> AnnotationResult:
        """Redo the step of a segment that was undone last.

        Raises:
            NothingToRedo: When the segment is at its last step.
            StaleRevision: When the session is at another revision.
        """
        return await self._change(request, partial(self._move_head, request, head_after))

    async def reset(self, request: AnnotationRequest) -> AnnotationResult:
        """Undo all steps of a segment; redo takes them back one by one.

        Raises:
            StaleRevision: When the session is at another revision.
        """
        return await self._change(request, partial(self._move_head, request, lambda _: 0))

    async def mask(self, request: AnnotationRequest) -> AnnotationResult:
        """Return the current mask of a segment; an empty mask for a segment without an object."""
        async with self._admission.slot():
            snapshot = await self._history.load(request.session_id, request.segment, principal=request.principal)
            self._auditor.note(AuditEntry(request.principal, Action.READ_MASK, request.session_id))
            return await self._replay(request, snapshot)

    async def _add_step(
        self,
        request: AnnotationRequest,
        prompts: Sequence[Prompt],
        snapshot: Snapshot,
        *,
        deadline: Deadline,
        on_stage: Callable[[Stage], None],
        started: float,
    ) -> AnnotationResult:
        await self._history.check_room(snapshot)
        image = await self._images.open(snapshot.row.image_digest, tenant=snapshot.row.tenant)
        geometry = image.volume.geometry
        batch = await self._annotator.reader.place(prompts, geometry=geometry, reserve=self._admission.memory)
        model = self._catalog.get(snapshot.row.model, tenant=snapshot.row.tenant)
        before, name, spec = snapshot.state.prompts, model.name, model.spec
        batch, prompts_so_far = add_to_object(before, batch, model=name, spec=spec, geometry=geometry)
        self._admission.check(estimate_mask_memory(prompts_so_far), what="the mask")
        async with self._admission.memory(estimate_prompt_memory(prompts_so_far, geometry=geometry, spec=model.spec)):
            prompts_so_far = await self._annotator.reader.expand(prompts_so_far, geometry=geometry)
            waited = Timings(queue=timedelta(seconds=time.perf_counter() - started))
            note_wait(started, always=True)
            pending = await self._predict(
                request, snapshot, batch, prompts_so_far, image, model, deadline=deadline, on_stage=on_stage
            )
            predicted = time.perf_counter()
            state = SegmentState(
                start_step=snapshot.segment.head + 1 if batch.extent else snapshot.state.start_step,
                prompts=prompts_so_far,
                prediction=pending.prediction,
                model=model.name,
                version=pending.version,
                threshold=model.spec.output.threshold,
                network_input=pending.network_input,
            )
            try:
                ids = request.request_ids
                with phase("store"):
                    row, segment = await self._history.append(snapshot, batch.prompts, state, request_ids=ids)
            except BaseException:
                pending.rendering.cancel()
                await asyncio.gather(pending.rendering, return_exceptions=True)
                raise
            rendered = await pending.rendering
        self._history.remember(
            row, segment, replace(state, sent_mask=remember_sent_mask(rendered.mask, rendered.offset, row.revision))
        )
        # Storing and rendering overlap: only the time beyond rendering counts as storing.
        storing = timedelta(seconds=time.perf_counter() - predicted) - rendered.timings.total
        stored = Timings(store=max(storing, timedelta()))
        return make_result(row, segment, state, rendered, waited + pending.timings + rendered.timings + stored)

    async def _predict(
        self,
        request: AnnotationRequest,
        snapshot: Snapshot,
        batch: PromptBatch,
        prompts: ObjectPrompts,
        image: StoredImage,
        model: Model,
        *,
        deadline: Deadline,
        on_stage: Callable[[Stage], None],
    ) -> PendingPrediction:
        """Predict with the model, or take over an initial mask without clicks. A new object's mask is sent whole."""
        if batch.extent is not None and prompts.extent.mask is not None and not len(batch.clicks):
            grid = image.volume.geometry
            return await self._annotator.start_from_mask(prompts, model.spec, geometry=grid, client_mask=None)
        starts = batch.extent is not None
        return await self._annotator.annotate(
            image,
            model,
            prompts,
            previous=None if starts else snapshot.state.prediction,
            previous_input=None if starts else snapshot.state.network_input,
            client_mask=None if starts else find_client_mask(snapshot, request),
            deadline=deadline,
            on_stage=on_stage,
            version=model.version_for(snapshot.row.id),
        )

    async def _change(self, request: AnnotationRequest, make: _Make, *, appends: bool = False) -> AnnotationResult:
        """Make a change when it is the session's turn, once per request id.

        A call without a revision that another gateway process overtakes is made again on what that one left, and goes
        first: such calls take turns, whichever process they reach.

        A call that appends and names the revision in memory starts without reading the database: storing the step
        checks that the database has not changed.
        """
        session_id, segment, principal = request.session_id, request.segment, request.principal
        async with self._admission.slot(), self._history.lock(session_id, principal):
            cached = self._history.cached(session_id, segment, principal=principal, revision=request.revision)
            if appends and cached is not None:
                check_may_change(principal, owner=cached.row.owner)
                try:
                    return await make(cached)
                except SixpointError:
                    snapshot = await self._history.load(
                        session_id, segment, principal=principal, request_ids=request.request_ids
                    )
                    if not snapshot.outcome and snapshot.row.revision == cached.row.revision:
                        raise
            async with self._history.turns.take(session_id, tenant=principal.tenant) as turn:
                while True:
                    snapshot = await self._history.load(
                        session_id, segment, principal=principal, request_ids=request.request_ids
                    )
                    check_may_change(principal, owner=snapshot.row.owner)
                    if snapshot.outcome:
                        return await self._replay(request, snapshot)
                    check_revision(snapshot.row, request.revision)
                    if request.revision is None and await turn.wait(snapshot.claim):
                        continue
                    try:
                        return await make(snapshot)
                    except StaleRevision:
                        if request.revision is not None:
                            raise
                        await turn.overtaken()

    async def _move_head(
        self, request: AnnotationRequest, new_head: Callable[[SegmentRow], int], snapshot: Snapshot
    ) -> AnnotationResult:
        """Make another step the segment's last in force."""
        head = new_head(snapshot.segment)
        if head == snapshot.segment.head:
            return await self._replay(request, snapshot)
        state = await self._history.state_at(snapshot.row, request.segment, head) if head else SegmentState()
        rendered, state = await self._render(snapshot, state, client_mask=find_client_mask(snapshot, request))
        state = replace(state, sent_mask=remember_sent_mask(rendered.mask, rendered.offset, snapshot.row.revision + 1))
        started = time.perf_counter()
        with phase("store"):
            row, segment = await self._history.move_head(snapshot, head, state, request_ids=request.request_ids)
        timings = replace(rendered.timings, store=timedelta(seconds=time.perf_counter() - started))
        return make_result(row, segment, state, rendered, timings)

    async def _replay(self, request: AnnotationRequest, snapshot: Snapshot) -> AnnotationResult:
        """Return the segment as it is, which for a repeated call must be as that call left it."""
        row, segment, state = snapshot.row, snapshot.segment, snapshot.state
        if snapshot.outcome and snapshot.outcome.revision != row.revision:
            raise StaleRevision(
                f"this call was carried out at revision {snapshot.outcome.revision}, and the session has moved on to "
                f"{row.revision} since: look at it again"
            )
        rendered, state = await self._render(snapshot, state, client_mask=find_client_mask(snapshot, request))
        return make_result(row, segment, state, rendered, rendered.timings)

    async def _render(
        self, snapshot: Snapshot, state: SegmentState, *, client_mask: ClientMask | None
    ) -> tuple[RenderedMask, SegmentState]:
        """Render the mask of a state; the state that is returned has its initial mask unpacked."""
        if state.prompts is None or state.prediction is None:
            return self._annotator.render_empty(client_mask), state
        image = await self._images.open(snapshot.row.image_digest, tenant=snapshot.row.tenant)
        geometry = image.volume.geometry
        async with self._admission.memory(estimate_render_memory(state.prediction, state.prompts, geometry=geometry)):
            prompts = await self._annotator.reader.expand(state.prompts, geometry=geometry)
            rendered = await self._annotator.render(
                state.prediction, prompts, geometry=geometry, threshold=state.threshold, client_mask=client_mask
            )
        return rendered, replace(state, prompts=prompts)
