"""sixpoint: outline an organ or lesion in a 3D medical image with six clicks.

The SDK, and the library that gateway, exporter and trainer share. Patient coordinates are LPS in mm, arrays are indexed
[z, y, x], and voxel indices are (x, y, z).
"""

from typing import TYPE_CHECKING

from sixpoint import errors
from sixpoint.client import (
    AnnotationInfo,
    Answered,
    AsyncClient,
    AsyncSession,
    Client,
    DatasetImage,
    DatasetInfo,
    DatasetLabel,
    Failed,
    ImageScore,
    ImageTrace,
    JobInfo,
    JobLine,
    LearntVersion,
    ModelInfo,
    NextImage,
    Phase,
    RemovedImage,
    Retry,
    SegmentInfo,
    Session,
    SessionInfo,
    StepInfo,
    Superseded,
    Timeout,
    TlsFiles,
    TracedSession,
)
from sixpoint.errors import SixpointError
from sixpoint.geometry import Geometry
from sixpoint.mask import Mask, Timings
from sixpoint.model_spec import ImplausibleImageWarning, ModelSpec
from sixpoint.prompts import (
    Box,
    Click,
    ExtremePoints,
    Frame,
    InitialMask,
    Lasso,
    Prompt,
    Scribble,
    read_lasso,
    read_points,
)
from sixpoint.segmentation import Segmentation
from sixpoint.volume import ImageWarning, Volume

__all__ = [
    "AnnotationInfo",
    "Answered",
    "AsyncClient",
    "AsyncSession",
    "Box",
    "Click",
    "Client",
    "DatasetImage",
    "DatasetInfo",
    "DatasetLabel",
    "ExtremePoints",
    "Failed",
    "Frame",
    "Geometry",
    "ImageScore",
    "ImageTrace",
    "ImageWarning",
    "ImplausibleImageWarning",
    "InitialMask",
    "JobInfo",
    "JobLine",
    "Lasso",
    "LearntVersion",
    "Mask",
    "ModelInfo",
    "ModelSpec",
    "NextImage",
    "Phase",
    "Prompt",
    "RemovedImage",
    "Retry",
    "Scribble",
    "SegmentInfo",
    "Segmentation",
    "Session",
    "SessionInfo",
    "SixpointError",
    "StepInfo",
    "Superseded",
    "Timeout",
    "Timings",
    "TlsFiles",
    "TracedSession",
    "Volume",
    "errors",
    "read_lasso",
    "read_points",
]

if TYPE_CHECKING:
    __version__: str
    """Version of the installed package."""
else:  # For a type checker, a __getattr__ would make every misspelt name a string.

    def __getattr__(name: str) -> str:
        # Reading the version takes some milliseconds, which most programs need not spend.
        if name != "__version__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version(__name__)
        except PackageNotFoundError:  # The source is on the path, but not installed.
            return "unknown"
