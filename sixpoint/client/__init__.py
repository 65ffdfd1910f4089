"""The SDK: :class:`Client` and :class:`AsyncClient`, twins with the same names."""

from sixpoint.client.asynchronous import AsyncClient, AsyncSession
from sixpoint.client.base import ModelInfo, Progress, Timeout
from sixpoint.client.blocking import Client, Session

__all__ = ["AsyncClient", "AsyncSession", "Client", "ModelInfo", "Progress", "Session", "Timeout"]
