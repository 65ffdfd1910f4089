"""The SDK: :class:`Client` blocks, :class:`AsyncClient` has the same methods for asyncio.

Both run the same operations (``_operations``); they differ only in the driver that makes the calls (``_transport``).
"""

from sixpoint.client._operations.upload import ProgressCallback
from sixpoint.client._retry import Retry, Timeout
from sixpoint.client._transport.tls import TlsFiles
from sixpoint.client.async_session import AsyncSession
from sixpoint.client.asyncio import AsyncClient
from sixpoint.client.blocking import Client
from sixpoint.client.dataset_models import (
    AnnotationInfo,
    DatasetImage,
    DatasetInfo,
    DatasetLabel,
    ImageScore,
    NextImage,
)
from sixpoint.client.datasets import AsyncDatasets, Datasets
from sixpoint.client.events import Answered, Event, Failed, Phase, Superseded
from sixpoint.client.interaction import AsyncInteraction, Interaction
from sixpoint.client.job_models import JobInfo, JobLine
from sixpoint.client.jobs import AsyncJobs, Jobs
from sixpoint.client.learning import AsyncLearning, Learning, LearningDecision, LearningInfo, ModelLearning
from sixpoint.client.models import ModelInfo, SegmentInfo, SessionInfo, StepInfo
from sixpoint.client.session import Session
from sixpoint.client.trace_models import ImageTrace, LearntVersion, RemovedImage, TracedSession

__all__ = [
    "AnnotationInfo",
    "Answered",
    "AsyncClient",
    "AsyncDatasets",
    "AsyncInteraction",
    "AsyncJobs",
    "AsyncLearning",
    "AsyncSession",
    "Client",
    "DatasetImage",
    "DatasetInfo",
    "DatasetLabel",
    "Datasets",
    "Event",
    "Failed",
    "ImageScore",
    "ImageTrace",
    "Interaction",
    "JobInfo",
    "JobLine",
    "Jobs",
    "Learning",
    "LearningDecision",
    "LearningInfo",
    "LearntVersion",
    "ModelInfo",
    "ModelLearning",
    "NextImage",
    "Phase",
    "Progress",
    "ProgressCallback",
    "RemovedImage",
    "Retry",
    "SegmentInfo",
    "Session",
    "SessionInfo",
    "StepInfo",
    "Superseded",
    "Timeout",
    "TlsFiles",
    "TracedSession",
]

Progress = ProgressCallback
"""Former name of :data:`ProgressCallback`."""
