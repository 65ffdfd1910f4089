"""Answer the points of a client, which sends all of them each time, by a session of ours, which takes what is new."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from gateway.core.access import Principal
from gateway.core.runtime import Deadline, Model
from gateway.core.sessions import AnnotationRequest, AnnotationResult, Engine, Session, Sessions, StepRow
from gateway.http.windows.handles import ImageHandle
from gateway.http.windows.object_steps import ObjectSteps
from sixpoint.errors import NothingToCorrect, ResourceExhausted, SessionExpired, SessionNotFound, StaleRevision
from sixpoint.mask import PackedMask
from sixpoint.prompts import Box, Click, ExtremePoints, Prompt

__all__ = ["Annotating"]

_Kind = TypeVar("_Kind", bound=Prompt)

_ATTEMPTS = 5
# Ended sessions of one image and model before a client has to send the image again.
_MAX_ENDED = 16
_MAX_KNOWN = 10_000
# Beyond them, clicks that were changed at once are one step: each step asks the network.
_MAX_SINGLE_CLICKS = 16


@dataclass(frozen=True)
class _Target:
    """A segment, and the conditions of calls on it."""

    principal: Principal
    session: Session
    segment: int

    def request(self, revision: int) -> AnnotationRequest:
        return AnnotationRequest(self.principal, self.session.row.id, self.segment, revision)


class Annotating:
    """Keeps a session for each window of a client on an image, and each model; each label is a segment of it.

    Points that a client added are new steps; if it changed or removed some, the segment begins anew.

    Args:
        sessions: All sessions.
        engine: Carries out calls on segments.
    """

    def __init__(self, *, sessions: Sessions, engine: Engine) -> None:
        self._sessions = sessions
        self._engine = engine
        # Only to save looking them up by their request ids; other processes may have more of them.
        self._ids: OrderedDict[tuple[str, str], str] = OrderedDict()

    async def open(self, handle: ImageHandle, model: Model, *, principal: Principal) -> Session:
        """Open the session of a client's window, or return the one that is open.

        Raises:
            ImageNotFound: There is no such image.
            ResourceExhausted: Too many sessions are open.
        """
        if handle.anchor:
            with contextlib.suppress(SessionExpired, SessionNotFound):
                anchor = await self._sessions.get(handle.anchor, principal=principal)
                if (anchor.row.image_digest, anchor.row.model) == (handle.digest, model.name):
                    return anchor
        request = (principal.account, handle.request_id(model.name))
        if session_id := self._ids.get(request):
            with contextlib.suppress(SessionExpired, SessionNotFound):
                return await self._sessions.get(session_id, principal=principal)
        for attempt in range(_MAX_ENDED):
            request_id = handle.request_id(model.name, attempt)
            session = await self._sessions.create(
                principal=principal, digest=handle.digest, model=model.name, request_id=request_id
            )
            with contextlib.suppress(SessionExpired, SessionNotFound):
                session = await self._sessions.get(session.row.id, principal=principal)
                self._remember(request, session.row.id)
                return session
        raise ResourceExhausted("this image was opened and left many times; load it in the viewer again")

    async def close(self, handle: ImageHandle, models: Iterable[Model], *, principal: Principal) -> None:
        """Close the sessions of a client's window that this process knows; others end when nobody uses them."""
        for model in models:
            session_id = self._ids.pop((principal.account, handle.request_id(model.name)), None)
            if session_id is not None:
                await self._sessions.close(session_id, principal=principal)

    def _remember(self, request: tuple[str, str], session_id: str) -> None:
        self._ids[request] = session_id
        self._ids.move_to_end(request)
        if len(self._ids) > _MAX_KNOWN:
            self._ids.popitem(last=False)

    async def annotate(
        self,
        handle: ImageHandle,
        model: Model,
        label: str,
        prompts: Sequence[Prompt],
        *,
        principal: Principal,
        deadline: Deadline,
        opening: int = 1,
    ) -> AnnotationResult:
        """Return the mask of one object.

        Args:
            handle: The client's window on an image.
            model: Model that answers.
            label: Name of the object.
            prompts: All prompts of the object; the first one begins it.
            principal: Who makes the call.
            deadline: Moment by which the mask is needed.
            opening: Number of prompts that begin it together.

        Raises:
            SixpointError: As :meth:`gateway.core.sessions.Engine.annotate` does.
        """
        return await self._on_segment(
            handle,
            model,
            label,
            principal,
            lambda target, revision: self._advance(target, revision, prompts, deadline, opening),
        )

    async def click(
        self,
        handle: ImageHandle,
        model: Model,
        label: str,
        clicks: Sequence[Click],
        *,
        steps: ObjectSteps,
        principal: Principal,
        deadline: Deadline,
    ) -> AnnotationResult:
        """Return the mask of an object of which clicks are all that is known.

        Args:
            handle: The client's window on an image.
            model: Model that answers.
            label: Name of the object.
            clicks: All clicks on the object, at least one; the first one is in it.
            steps: What the prompts of each step are.
            principal: Who makes the call.
            deadline: Moment by which the mask is needed.

        Raises:
            SixpointError: As :meth:`gateway.core.sessions.Engine.annotate` does.
        """
        return await self._on_segment(
            handle,
            model,
            label,
            principal,
            lambda target, revision: self._click(target, revision, clicks, steps, deadline),
        )

    async def _on_segment(
        self,
        handle: ImageHandle,
        model: Model,
        label: str,
        principal: Principal,
        carry_out: Callable[[_Target, int], Awaitable[AnnotationResult]],
    ) -> AnnotationResult:
        """Carry out something on the segment of a label, again if another call of the window came between."""
        for attempt in range(_ATTEMPTS):
            session = await self.open(handle, model, principal=principal)
            try:
                return await carry_out(*await self._target(session, label, principal))
            except StaleRevision:
                if attempt + 1 == _ATTEMPTS:
                    raise
        raise AssertionError("unreachable")

    async def _target(self, session: Session, label: str, principal: Principal) -> tuple[_Target, int]:
        """Find the segment of a label, or name the next free one."""
        for segment in session.segments:
            if segment.name == label:
                return _Target(principal, session, segment.number), session.row.revision
        number = max((segment.number for segment in session.segments), default=0) + 1
        revision = session.row.revision
        named = await self._sessions.update(
            session.row.id, principal=principal, model=None, names=[(number, label)], revision=revision
        )
        return _Target(principal, named, number), named.row.revision

    async def _advance(
        self, target: _Target, revision: int, prompts: Sequence[Prompt], deadline: Deadline, opening: int
    ) -> AnnotationResult:
        steps = await self._in_force(target)
        shown = None if steps is None else [prompt for step in steps for prompt in step.prompts]
        added = _added(shown, prompts)
        if added is None:
            revision = (await self._engine.reset(target.request(revision))).revision
            added = list(prompts)
        if not added:
            return await self._current(target, revision)
        result: AnnotationResult | None = None
        for batch in _batches(added, opening=opening if len(added) == len(prompts) else 1):
            result = await self._engine.annotate(target.request(revision), batch, deadline=deadline)
            revision = result.revision
        if result is None:
            raise NothingToCorrect("there is no object to correct: set points on it")
        return result

    async def _click(
        self, target: _Target, revision: int, clicks: Sequence[Click], steps: ObjectSteps, deadline: Deadline
    ) -> AnnotationResult:
        shown = await self._in_force(target) or []
        # A step that begins the object anew repeats the clicks before it.
        earlier = [prompt for step in shown if step.number >= shown[-1].start_step for prompt in step.prompts]
        known = all(isinstance(prompt, Click | Box | ExtremePoints) for prompt in earlier)
        added = _added([prompt for prompt in earlier if isinstance(prompt, Click)] if known else None, clicks)
        if added is None or len(added) > _MAX_SINGLE_CLICKS:
            if shown:
                revision = (await self._engine.reset(target.request(revision))).revision
            earlier, added = [], list(clicks)
        if not added:
            return await self._current(target, revision)
        if len(added) > _MAX_SINGLE_CLICKS:
            return await self._engine.annotate(target.request(revision), steps.at_once(clicks), deadline=deadline)
        result: AnnotationResult | None = None

        async def mask_so_far() -> PackedMask:
            return (result or await self._current(target, revision)).mask

        for click in added:
            prompts = await steps.of(click, earlier, mask_so_far)
            result = await self._engine.annotate(target.request(revision), prompts, deadline=deadline)
            earlier = [*(earlier if len(prompts) == 1 else []), *prompts]
            revision = result.revision
        assert result is not None
        return result

    async def _current(self, target: _Target, revision: int) -> AnnotationResult:
        current = await self._engine.mask(target.request(revision))
        if current.revision != revision:
            # It is another call's mask, or the empty one of a segment that another call begins anew.
            raise StaleRevision("another call changed the object meanwhile; send the points again")
        return current

    async def _in_force(self, target: _Target) -> list[StepRow] | None:
        """The segment's steps in force; None if they are too many to be compared."""
        page = await self._sessions.steps(target.session.row.id, principal=target.principal, segment=target.segment)
        if page.next_token:
            return None
        return [step for step, in_force in page.steps if in_force]


def _added(earlier: Sequence[Prompt] | None, prompts: Sequence[_Kind]) -> list[_Kind] | None:
    """The prompts that are new; None if one that was carried out is no longer among them, so that all begins anew.

    Positive and negative points come in two lists, so that only the order within each is known.
    """
    if earlier is None:
        return None
    lists = _by_kind(prompts)
    for before, now in zip(_by_kind(earlier), lists, strict=True):
        if now[: len(before)] != before:
            return None
    return [new for before, now in zip(_by_kind(earlier), lists, strict=True) for new in now[len(before) :]]


def _by_kind(prompts: Sequence[_Kind]) -> tuple[list[_Kind], list[_Kind], list[_Kind]]:
    clicks = [prompt for prompt in prompts if isinstance(prompt, Click)]
    return (
        [prompt for prompt in prompts if not isinstance(prompt, Click)],
        [click for click in clicks if click.positive],
        [click for click in clicks if not click.positive],
    )


def _batches(prompts: Sequence[Prompt], *, opening: int) -> list[list[Prompt]]:
    """Steps: what begins an object, then one click after another, as a person would have set them."""
    if len(prompts) > _MAX_SINGLE_CLICKS:
        return [list(prompts)]
    return [list(prompts[:opening]), *([prompt] for prompt in prompts[opening:])]
