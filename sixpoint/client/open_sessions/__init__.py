"""Sessions that are open on the gateway already."""

from sixpoint.client.open_sessions.asyncio import AsyncOpenSessions
from sixpoint.client.open_sessions.blocking import OpenSessions

__all__ = ["AsyncOpenSessions", "OpenSessions"]
