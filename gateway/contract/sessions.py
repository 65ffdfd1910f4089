"""The calls of ``sixpoint.v1.SessionService``."""

from __future__ import annotations

import asyncio

from google.protobuf.timestamp_pb2 import Timestamp

from gateway.core.access import Principal
from gateway.core.runtime import Catalog
from gateway.core.sessions import ModelUse, Session, SessionPage, Sessions, StepPage, StepRow, check_model
from sixpoint.errors import InvalidArgument, ModelNotFound, Violation
from sixpoint.errors.shortening import quoted
from sixpoint.masks.labels import check_segment_number
from sixpoint.protocol import prompt_to_message
from sixpoint.v1 import session_service_pb2 as session_pb

__all__ = ["SessionCalls"]


class SessionCalls:
    """The calls of ``sixpoint.v1.SessionService``.

    Args:
        sessions: All sessions.
        catalog: Models that can be used now.
    """

    def __init__(self, *, sessions: Sessions, catalog: Catalog) -> None:
        self._sessions = sessions
        self._catalog = catalog

    async def create_session(
        self, request: session_pb.CreateSessionRequest, principal: Principal
    ) -> session_pb.CreateSessionResponse:
        """Open a session on an uploaded image."""
        session = await self._sessions.create(
            principal=principal,
            digest=request.image_digest,
            model=self._model(request.model, tenant=principal.tenant),
            request_id=request.request_id,
        )
        return session_pb.CreateSessionResponse(session=_session_message(session))

    async def get_session(
        self, request: session_pb.GetSessionRequest, principal: Principal
    ) -> session_pb.GetSessionResponse:
        """Describe a session."""
        session = await self._sessions.get(request.session_id, principal=principal)
        return session_pb.GetSessionResponse(session=_session_message(session))

    async def list_sessions(
        self, request: session_pb.ListSessionsRequest, principal: Principal
    ) -> session_pb.ListSessionsResponse:
        """List the open sessions of the caller."""
        use = self._use(request, tenant=principal.tenant)
        page = await self._sessions.page(principal, size=request.page_size, token=request.page_token, use=use)
        return await asyncio.to_thread(_page_message, page)

    async def update_session(
        self, request: session_pb.UpdateSessionRequest, principal: Principal
    ) -> session_pb.UpdateSessionResponse:
        """Change a session's model, or the names of its segments."""
        session = await self._sessions.update(
            request.session_id,
            principal=principal,
            model=self._model(request.model, tenant=principal.tenant) if request.model else None,
            names=[(segment.number, segment.name) for segment in request.segments],
            revision=request.revision if request.HasField("revision") else None,
            request_id=request.request_id,
        )
        return session_pb.UpdateSessionResponse(session=_session_message(session))

    async def list_steps(
        self, request: session_pb.ListStepsRequest, principal: Principal
    ) -> session_pb.ListStepsResponse:
        """List the steps of a session."""
        if request.segment:
            check_segment_number(request.segment)
        page = await self._sessions.steps(
            request.session_id,
            principal=principal,
            segment=request.segment,
            size=request.page_size,
            token=request.page_token,
        )
        return await asyncio.to_thread(_steps_message, page)

    async def fork_session(
        self, request: session_pb.ForkSessionRequest, principal: Principal
    ) -> session_pb.ForkSessionResponse:
        """Open a new session that starts from another session's steps."""
        session = await self._sessions.fork(
            request.session_id,
            principal=principal,
            segment=request.segment,
            step=request.step,
            request_id=request.request_id,
        )
        return session_pb.ForkSessionResponse(session=_session_message(session))

    async def close_session(
        self, request: session_pb.CloseSessionRequest, principal: Principal
    ) -> session_pb.CloseSessionResponse:
        """Close a session."""
        await self._sessions.close(request.session_id, principal=principal)
        return session_pb.CloseSessionResponse()

    def _model(self, name: str, *, tenant: str) -> str:
        """Return the name of a model that a session can use.

        Raises:
            TritonUnavailable: When Triton cannot be reached.
            ModelNotFound: When there is no such model.
            TaskNotSupported: When the model takes no prompts.
        """
        model = self._catalog.get(name, tenant=tenant)
        check_model(model)
        return model.name

    def _use(self, request: session_pb.ListSessionsRequest, *, tenant: str) -> ModelUse | None:
        """Read which model and version the listed sessions must use; None for all sessions.

        Raises:
            InvalidArgument: When a version is given without a model.
            TritonUnavailable: When Triton cannot be reached, so that the version of new prompts is unknown.
        """
        name, version = request.model, request.model_version
        if not version:
            return ModelUse(name, "", assigned=lambda _: True) if name else None
        if not name:
            raise InvalidArgument(
                f"version {quoted(version)} without a model: set the field model as well",
                violations=(Violation("model", "not empty"),),
            )
        try:
            model = self._catalog.get(name, tenant=tenant)
        except ModelNotFound:
            # The model is not served any more: only stored answers can use the version.
            return ModelUse(name, version, assigned=lambda _: False)
        return ModelUse(name, version, assigned=lambda session_id: model.version_for(session_id) == version)


def _session_message(session: Session) -> session_pb.Session:
    row = session.row
    return session_pb.Session(
        id=row.id,
        image_digest=row.image_digest,
        model=row.model,
        revision=row.revision,
        create_time=_timestamp(row.created),
        expire_time=_timestamp(session.expires),
        use_time=_timestamp(row.used),
        segments=[
            session_pb.Segment(number=segment.number, name=segment.name, step=segment.head, step_count=segment.length)
            for segment in session.segments
        ],
    )


def _page_message(page: SessionPage) -> session_pb.ListSessionsResponse:
    """Convert a page of sessions; a thousand with all of their segments take 0.3 s."""
    return session_pb.ListSessionsResponse(
        sessions=map(_session_message, page.sessions),
        next_page_token=page.next_token,
        total_size=page.total,
        all_owners_size=page.total_all_owners,
    )


def _steps_message(page: StepPage) -> session_pb.ListStepsResponse:
    """Convert a page of steps."""
    steps = [_step_message(row, in_force=in_force) for row, in_force in page.steps]
    return session_pb.ListStepsResponse(steps=steps, next_page_token=page.next_token)


def _step_message(row: StepRow, *, in_force: bool) -> session_pb.Step:
    return session_pb.Step(
        segment=row.segment,
        number=row.number,
        prompts=map(prompt_to_message, row.prompts),
        revision=row.revision,
        model=row.model,
        model_version=row.model_version,
        create_time=_timestamp(row.created),
        in_force=in_force,
    )


def _timestamp(seconds: float) -> Timestamp:
    message = Timestamp()
    message.FromMicroseconds(round(seconds * 1e6))
    return message
