"""The SDK: :class:`Client` and :class:`AsyncClient`, twins with the same names."""

from sixpoint.client._operations.client import Progress, Timeout
from sixpoint.client._retry import Retry
from sixpoint.client.asyncio import AsyncClient, AsyncSession
from sixpoint.client.blocking import Client, Session
from sixpoint.client.events import Answered, Event, Failed, Phase, Superseded
from sixpoint.client.interaction import AsyncInteraction, Interaction
from sixpoint.client.models import ModelInfo, SegmentInfo, SessionInfo, StepInfo

__all__ = [
    "Answered",
    "AsyncClient",
    "AsyncInteraction",
    "AsyncSession",
    "Client",
    "Event",
    "Failed",
    "Interaction",
    "ModelInfo",
    "Phase",
    "Progress",
    "Retry",
    "SegmentInfo",
    "Session",
    "SessionInfo",
    "StepInfo",
    "Superseded",
    "Timeout",
]
