"""``sixpoint.v1.SessionService`` over the sessions."""

from __future__ import annotations

from typing import Any

import grpc.aio
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.core.runtime.catalog import Catalog
from gateway.core.sessions.records import ModelUse, StepRow
from gateway.core.sessions.sessions import Session, Sessions
from gateway.core.sessions.validation import check_segment
from gateway.grpc.owners import owner_of
from sixpoint.errors import InvalidArgument, ModelNotFound, Violation
from sixpoint.protocol import prompt_to_message
from sixpoint.v1 import session_service_pb2 as session_pb
from sixpoint.v1 import session_service_pb2_grpc as session_grpc

__all__ = ["SessionServicer"]

_Context = grpc.aio.ServicerContext[Any, Any]


class SessionServicer(session_grpc.SessionServiceServicer):
    """``sixpoint.v1.SessionService``."""

    def __init__(self, *, sessions: Sessions, catalog: Catalog) -> None:
        self._sessions = sessions
        self._catalog = catalog

    async def CreateSession(
        self, request: session_pb.CreateSessionRequest, context: _Context
    ) -> session_pb.CreateSessionResponse:
        """Opens a session on an uploaded image."""
        model = self._catalog.get(request.model)
        session = await self._sessions.create(
            owner=owner_of(context), digest=request.image_digest, model=model.name, request_id=request.request_id
        )
        return session_pb.CreateSessionResponse(session=_session_message(session))

    async def GetSession(
        self, request: session_pb.GetSessionRequest, context: _Context
    ) -> session_pb.GetSessionResponse:
        """Describes a session."""
        return session_pb.GetSessionResponse(session=_session_message(await self._sessions.get(request.session_id)))

    async def ListSessions(
        self, request: session_pb.ListSessionsRequest, context: _Context
    ) -> session_pb.ListSessionsResponse:
        """Lists the caller's open sessions."""
        found = await self._sessions.page(
            owner_of(context), size=request.page_size, token=request.page_token, use=self._use(request)
        )
        return session_pb.ListSessionsResponse(
            sessions=map(_session_message, found.sessions),
            next_page_token=found.next_token,
            total_size=found.total,
            all_owners_size=found.total_all_owners,
        )

    async def UpdateSession(
        self, request: session_pb.UpdateSessionRequest, context: _Context
    ) -> session_pb.UpdateSessionResponse:
        """Changes a session's model, or the names of its segments."""
        session = await self._sessions.update(
            request.session_id,
            model=self._catalog.get(request.model).name if request.model else None,
            names=[(segment.number, segment.name) for segment in request.segments],
            revision=request.revision if request.HasField("revision") else None,
            request_id=request.request_id,
        )
        return session_pb.UpdateSessionResponse(session=_session_message(session))

    async def ListSteps(self, request: session_pb.ListStepsRequest, context: _Context) -> session_pb.ListStepsResponse:
        """Lists the steps of a session."""
        if request.segment:
            check_segment(request.segment)
        found = await self._sessions.steps(request.session_id, segment=request.segment)
        return session_pb.ListStepsResponse(steps=[_step_message(row, in_force=held) for row, held in found])

    async def ForkSession(
        self, request: session_pb.ForkSessionRequest, context: _Context
    ) -> session_pb.ForkSessionResponse:
        """Opens a new session that stands where another stood."""
        session = await self._sessions.fork(
            request.session_id,
            owner=owner_of(context),
            segment=request.segment,
            step=request.step,
            request_id=request.request_id,
        )
        return session_pb.ForkSessionResponse(session=_session_message(session))

    async def CloseSession(
        self, request: session_pb.CloseSessionRequest, context: _Context
    ) -> session_pb.CloseSessionResponse:
        """Closes a session."""
        await self._sessions.close(request.session_id)
        return session_pb.CloseSessionResponse()

    def _use(self, request: session_pb.ListSessionsRequest) -> ModelUse | None:
        """The use of a model that is asked for.

        Raises:
            InvalidArgument: When a version is given, and no model.
            TritonUnavailable: When Triton is away, and so which version sessions would be given is not known.
        """
        name, version = request.model, request.model_version
        if not version:
            return ModelUse(name, "", assigned=lambda _: True) if name else None
        if not name:
            raise InvalidArgument(
                f"version {version!r} of which model? Name it, too", violations=(Violation("model", "not empty"),)
            )
        try:
            model = self._catalog.get(name)
        except ModelNotFound:
            # It is not served any more: its answers are all that can be left of it.
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
            session_pb.Segment(number=one.number, name=one.name, step=one.head, step_count=one.length)
            for one in session.segments
        ],
    )


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
