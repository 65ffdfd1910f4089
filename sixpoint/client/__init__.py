"""The SDK: :class:`Client` and :class:`AsyncClient`, twins with the same names."""

from sixpoint.client.asynchronous import AsyncClient, AsyncSession
from sixpoint.client.base import Progress, Timeout
from sixpoint.client.blocking import Client, Session
from sixpoint.client.events import Answered, Event, Failed, Phase, Superseded
from sixpoint.client.infos import ModelInfo, SegmentInfo, SessionInfo, StepInfo
from sixpoint.client.interaction import AsyncInteraction, Interaction
from sixpoint.client.retry import Retry

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
