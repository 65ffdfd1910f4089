"""ModelSpec: what a model needs and yields, whether an image suits it, and which of its versions a session gets."""

from sixpoint.model_spec.channels import (
    Channel,
    ClickChannel,
    EllipsoidChannel,
    FieldOfViewChannel,
    HeatmapChannel,
    HullChannel,
    ImageChannel,
    Intensity,
    PreviousChannel,
    StrokeChannel,
)
from sixpoint.model_spec.parts import STROKES, InputSpec, NetworkSpec, OutputSpec, PatchSpec, PromptKind, RoiSpec, Task
from sixpoint.model_spec.plausibility import ExpectedImage, ImplausibleImageWarning, find_doubts
from sixpoint.model_spec.rollout import CANDIDATE_PARAMETER, Candidate
from sixpoint.model_spec.spec import LICENCE_NOTE, SPEC_PARAMETER, AnnotationSpec, ModelSpec, SegmentationSpec
from sixpoint.model_spec.visibility import TENANTS_PARAMETER, tenants_from_json, tenants_to_json

__all__ = [
    "CANDIDATE_PARAMETER",
    "LICENCE_NOTE",
    "SPEC_PARAMETER",
    "STROKES",
    "TENANTS_PARAMETER",
    "AnnotationSpec",
    "Candidate",
    "Channel",
    "ClickChannel",
    "EllipsoidChannel",
    "ExpectedImage",
    "FieldOfViewChannel",
    "HeatmapChannel",
    "HullChannel",
    "ImageChannel",
    "ImplausibleImageWarning",
    "InputSpec",
    "Intensity",
    "ModelSpec",
    "NetworkSpec",
    "OutputSpec",
    "PatchSpec",
    "PreviousChannel",
    "PromptKind",
    "RoiSpec",
    "SegmentationSpec",
    "StrokeChannel",
    "Task",
    "find_doubts",
    "tenants_from_json",
    "tenants_to_json",
]
