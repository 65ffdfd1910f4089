"""The SDK: :class:`Client` and :class:`AsyncClient`, twins with the same names."""

from sixpoint.client.asynchronous import AsyncClient, AsyncSession
from sixpoint.client.base import Progress, Timeout
from sixpoint.client.blocking import Client, Session
from sixpoint.client.infos import ModelInfo, SegmentInfo, SessionInfo, StepInfo
from sixpoint.client.retry import Retry

__all__ = [
    "AsyncClient",
    "AsyncSession",
    "Client",
    "ModelInfo",
    "Progress",
    "Retry",
    "SegmentInfo",
    "Session",
    "SessionInfo",
    "StepInfo",
    "Timeout",
]
