"""Answer the points of a client, which sends all of them each time, by a session of ours, which takes what is new."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.core.access import Principal
from gateway.core.runtime import Deadline, Model
from gateway.core.sessions import AnnotationRequest, AnnotationResult, Engine, Session, Sessions
from gateway.http.windows.handles import ImageHandle
from sixpoint.errors import NothingToCorrect, ResourceExhausted, SessionExpired, SessionNotFound, StaleRevision
from sixpoint.prompts import Click, Prompt

__all__ = ["Annotating"]

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
        for attempt in range(_ATTEMPTS):
            session = await self.open(handle, model, principal=principal)
            try:
                target, revision = await self._target(session, label, principal)
                return await self._advance(target, revision, prompts, deadline, opening)
            except StaleRevision:
                # Another call of this window came between.
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
        shown = await self._in_force(target)
        added = _added(shown, prompts)
        if added is None:
            revision = (await self._engine.reset(target.request(revision))).revision
            added = list(prompts)
        if not added:
            current = await self._engine.mask(target.request(revision))
            if current.revision != revision:
                # It is another call's mask, or the empty one of a segment that another call begins anew.
                raise StaleRevision("another call changed the object meanwhile; send the points again")
            return current
        result: AnnotationResult | None = None
        for batch in _batches(added, opening=opening if len(added) == len(prompts) else 1):
            result = await self._engine.annotate(target.request(revision), batch, deadline=deadline)
            revision = result.revision
        if result is None:
            raise NothingToCorrect("there is no object to correct: set points on it")
        return result

    async def _in_force(self, target: _Target) -> list[Prompt] | None:
        """The prompts of the segment's steps in force; None if they are too many to be compared."""
        page = await self._sessions.steps(target.session.row.id, principal=target.principal, segment=target.segment)
        if page.next_token:
            return None
        return [prompt for step, in_force in page.steps if in_force for prompt in step.prompts]


def _added(earlier: list[Prompt] | None, prompts: Sequence[Prompt]) -> list[Prompt] | None:
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


def _by_kind(prompts: Sequence[Prompt]) -> tuple[list[Prompt], list[Prompt], list[Prompt]]:
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
