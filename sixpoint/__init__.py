"""sixpoint: outline an organ or lesion in a 3D medical image with six clicks.

The SDK, and the library that gateway, exporter and trainer share. Patient coordinates are LPS in mm, arrays are indexed
[z, y, x], and voxel indices are (x, y, z).
"""

from sixpoint.client import (
    Answered,
    AsyncClient,
    AsyncSession,
    Client,
    Failed,
    ModelInfo,
    Phase,
    Retry,
    SegmentInfo,
    Session,
    SessionInfo,
    StepInfo,
    Superseded,
    Timeout,
)
from sixpoint.errors import SixpointError
from sixpoint.geometry import Geometry
from sixpoint.mask import Mask, Timings
from sixpoint.model_spec import ModelSpec
from sixpoint.prompts import Box, Click, ExtremePoints, Frame, InitialMask, Prompt, read_points
from sixpoint.segmentation import Segmentation
from sixpoint.volume import Volume

__all__ = [
    "Answered",
    "AsyncClient",
    "AsyncSession",
    "Box",
    "Click",
    "Client",
    "ExtremePoints",
    "Failed",
    "Frame",
    "Geometry",
    "InitialMask",
    "Mask",
    "ModelInfo",
    "ModelSpec",
    "Phase",
    "Prompt",
    "Retry",
    "SegmentInfo",
    "Segmentation",
    "Session",
    "SessionInfo",
    "SixpointError",
    "StepInfo",
    "Superseded",
    "Timeout",
    "Timings",
    "Volume",
    "read_points",
]
