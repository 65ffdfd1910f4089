"""``sixpoint.v1.SessionService``."""

from __future__ import annotations

from typing import Any

import grpc.aio

from gateway.contract import SessionCalls
from gateway.grpc.identity import principal_of
from sixpoint.v1 import session_service_pb2 as session_pb
from sixpoint.v1 import session_service_pb2_grpc as session_grpc

__all__ = ["SessionServicer"]

_Context = grpc.aio.ServicerContext[Any, Any]


class SessionServicer(session_grpc.SessionServiceServicer):
    """``sixpoint.v1.SessionService``.

    Args:
        calls: Carries out the calls.
    """

    def __init__(self, calls: SessionCalls) -> None:
        self._calls = calls

    async def CreateSession(
        self, request: session_pb.CreateSessionRequest, context: _Context
    ) -> session_pb.CreateSessionResponse:
        """Open a session on an uploaded image."""
        return await self._calls.create_session(request, principal_of(context))

    async def GetSession(
        self, request: session_pb.GetSessionRequest, context: _Context
    ) -> session_pb.GetSessionResponse:
        """Describe a session."""
        return await self._calls.get_session(request, principal_of(context))

    async def ListSessions(
        self, request: session_pb.ListSessionsRequest, context: _Context
    ) -> session_pb.ListSessionsResponse:
        """List the open sessions of the caller."""
        return await self._calls.list_sessions(request, principal_of(context))

    async def UpdateSession(
        self, request: session_pb.UpdateSessionRequest, context: _Context
    ) -> session_pb.UpdateSessionResponse:
        """Change a session's model, or the names of its segments."""
        return await self._calls.update_session(request, principal_of(context))

    async def ListSteps(self, request: session_pb.ListStepsRequest, context: _Context) -> session_pb.ListStepsResponse:
        """List the steps of a session."""
        return await self._calls.list_steps(request, principal_of(context))

    async def ForkSession(
        self, request: session_pb.ForkSessionRequest, context: _Context
    ) -> session_pb.ForkSessionResponse:
        """Open a new session that starts from another session's steps."""
        return await self._calls.fork_session(request, principal_of(context))

    async def CloseSession(
        self, request: session_pb.CloseSessionRequest, context: _Context
    ) -> session_pb.CloseSessionResponse:
        """Close a session."""
        return await self._calls.close_session(request, principal_of(context))
