"""What is outlined in a session of ITK-SNAP's: a session of ours for each image, a segment for each object."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Sequence

from gateway.core.access import Principal
from gateway.core.images import ImageRecord
from gateway.core.runtime import Catalog, Deadline
from gateway.core.sessions import AnnotationRequest, AnnotationResult, Engine, Session, Sessions, StepRow
from gateway.http.itksnap.session_ids import SnapId
from sixpoint.errors import FailedPrecondition, SessionExpired, SessionNotFound
from sixpoint.mask import PackedMask
from sixpoint.prompts import Prompt

__all__ = ["Objects"]

# Segments have numbers up to this one.
_MAX_SEGMENTS = 255
_MAX_REMEMBERED = 10_000


class Objects:
    """Finds the session and the segment that a call is about, and carries it out.

    Args:
        sessions: All sessions.
        engine: Carries out calls on segments.
        catalog: Models that can be used now.
    """

    def __init__(self, *, sessions: Sessions, engine: Engine, catalog: Catalog) -> None:
        self._sessions = sessions
        self._engine = engine
        self._catalog = catalog
        # Only to begin the search with: other processes may have seen later images.
        self._images: OrderedDict[tuple[str, str], int] = OrderedDict()

    async def show(self, snap: SnapId, record: ImageRecord, *, principal: Principal) -> None:
        """Turn to an image, and to a new object on it.

        Raises:
            ResourceExhausted: Too many sessions are open.
        """
        image, session_id = await self._find(snap, principal)
        if session_id is not None:
            with contextlib.suppress(SessionExpired, SessionNotFound):
                session = await self._sessions.get(session_id, principal=principal)
                if session.row.image_digest == record.digest:
                    await self._begin_next(session, principal)
                    return
            image += 1
        await self._sessions.create(
            principal=principal, digest=record.digest, model=snap.model, request_id=snap.request_id(image)
        )
        self._remember(snap, image, principal)

    async def current(self, snap: SnapId, *, principal: Principal) -> Session:
        """Return the session on the image that was sent last.

        Raises:
            FailedPrecondition: No image was sent.
            SessionExpired: It was idle for too long.
            SessionNotFound: It was closed.
        """
        _, session_id = await self._find(snap, principal)
        if session_id is None:
            raise FailedPrecondition(
                "no image came with this session; choose the server in ITK-SNAP again, which then sends it"
            )
        return await self._sessions.get(session_id, principal=principal)

    async def prompts(self, session: Session, *, principal: Principal) -> list[Prompt]:
        """Return the prompts of the object, in order."""
        if not session.segments or not session.segments[-1].head:
            return []
        number, token, steps = session.segments[-1].number, "", list[StepRow]()
        while True:
            page = await self._sessions.steps(session.row.id, principal=principal, segment=number, token=token)
            steps += [step for step, in_force in page.steps if in_force]
            token = page.next_token
            if not token:
                return [prompt for step in steps for prompt in step.prompts]

    async def mask(self, session: Session, *, principal: Principal) -> PackedMask:
        """Return the mask of the object so far."""
        return (await self._engine.mask(self._request(session, principal))).mask

    async def annotate(
        self, session: Session, prompts: Sequence[Prompt], *, principal: Principal, deadline: Deadline
    ) -> AnnotationResult:
        """Begin or correct the object.

        Raises:
            SixpointError: As :meth:`gateway.core.sessions.Engine.annotate` does.
        """
        return await self._engine.annotate(self._request(session, principal), prompts, deadline=deadline)

    async def next_object(self, snap: SnapId, *, principal: Principal) -> None:
        """Turn to a new object; those before stay as they are."""
        _, session_id = await self._find(snap, principal)
        if session_id is not None:
            await self._begin_next(await self._sessions.get(session_id, principal=principal), principal)

    async def close(self, snap: SnapId, *, principal: Principal) -> None:
        """Close the session on the image that was sent last."""
        _, session_id = await self._find(snap, principal)
        if session_id is not None:
            await self._sessions.close(session_id, principal=principal)

    @staticmethod
    def _request(session: Session, principal: Principal) -> AnnotationRequest:
        number = session.segments[-1].number if session.segments else 1
        return AnnotationRequest(principal, session.row.id, number)

    async def _begin_next(self, session: Session, principal: Principal) -> None:
        last = session.segments[-1] if session.segments else None
        if last is None or not last.length:
            return
        if last.number == _MAX_SEGMENTS:
            await self._engine.reset(AnnotationRequest(principal, session.row.id, last.number))
            return
        number = last.number + 1
        await self._sessions.update(
            session.row.id, principal=principal, model=None, names=[(number, f"object {number}")]
        )

    async def _find(self, snap: SnapId, principal: Principal) -> tuple[int, str | None]:
        """Number of the image that was sent last, and the id of its session, open or ended; None without one."""
        image, session_id = self._images.get((principal.account, str(snap)), 0), None
        while row := await self._sessions.opened_by(snap.request_id(image), principal=principal):
            session_id = row.id
            image += 1
        if session_id is None:
            return 0, None
        self._remember(snap, image - 1, principal)
        return image - 1, session_id

    def _remember(self, snap: SnapId, image: int, principal: Principal) -> None:
        key = (principal.account, str(snap))
        self._images[key] = image
        self._images.move_to_end(key)
        if len(self._images) > _MAX_REMEMBERED:
            self._images.popitem(last=False)
