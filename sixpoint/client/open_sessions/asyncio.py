"""Sessions that are open on the gateway: resumed, listed, counted and closed, for asyncio."""

from __future__ import annotations

from collections.abc import Sequence

from sixpoint.client._operations.client import ClientOperations
from sixpoint.client._operations.images import ImageSource, load
from sixpoint.client._transport.driver import AsyncDriver
from sixpoint.client.async_session import AsyncSession
from sixpoint.client.models import SessionInfo
from sixpoint.geometry import Geometry

__all__ = ["AsyncOpenSessions"]


class AsyncOpenSessions:
    """The part of :class:`~sixpoint.AsyncClient` for sessions that are open already."""

    _driver: AsyncDriver
    _operations: ClientOperations

    async def resume(
        self,
        session_id: str,
        image: ImageSource | None = None,
        *,
        spacing: Sequence[float] | None = None,
        geometry: Geometry | None = None,
    ) -> AsyncSession:
        """Resume an open session, wherever it was opened. It stays open when the ``async with`` block ends.

        Args:
            session_id: Id of the session.
            image: The session's image, to have it in memory, for example for a preview. Prompts do not need it.
            spacing: Spacing (x, y, z) in mm of an array, or of a file whose header lacks it.
            geometry: Geometry of an array: spacing, and where it lies in the patient.

        Raises:
            SessionNotFound: No session has this id, or it was closed.
            SessionExpired: The session was idle for too long.
            InvalidArgument: The image is not the session's.
        """
        volume = None if image is None else load(image, spacing=spacing, geometry=geometry)
        opened = await self._driver.run(self._operations.resume(session_id, volume))
        return AsyncSession(self._driver, self._operations, opened, keep=True)

    async def sessions(self, *, model: str = "", version: str = "") -> list[SessionInfo]:
        """List this owner's open sessions, the last used first. A session must match every filter that is not empty.

        Args:
            model: Name of a model. A session matches if the model made the present mask of one of its segments, or
                would answer its next prompt.
            version: Version of ``model``. A session matches if this version did, or would.

        Raises:
            InvalidArgument: A version is given without a model.
            TritonUnavailable: A version is given, and the gateway does not reach Triton.
        """
        return await self._driver.run(self._operations.sessions(model=model, version=version))

    async def count_sessions(self, *, model: str = "", version: str = "") -> int:
        """Count the open sessions of all owners. A session must match every filter that is not empty.

        Args:
            model: Name of a model. A session matches if the model made the present mask of one of its segments, or
                would answer its next prompt.
            version: Version of ``model``. A session matches if this version did, or would.

        Raises:
            InvalidArgument: A version is given without a model.
            TritonUnavailable: A version is given, and the gateway does not reach Triton.
        """
        return await self._driver.run(self._operations.count_sessions(model=model, version=version))

    async def close_session(self, session_id: str) -> None:
        """Close a session by its id. Closing one that is already closed is no error.

        Args:
            session_id: Id of the session.
        """
        await self._driver.run(self._operations.close_session(session_id))
