"""What requests must have, and within which bounds: the document says it, so that programs made from it need not guess.

The contract's messages have no such rules. The core keeps them, for every edge, and refuses in words; here they are
written in the terms of JSON Schema, for fields that have the same bounds whatever the rest of a request says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

__all__ = ["BOUNDS", "bounds_of", "required_fields"]

_PACKAGE = "sixpoint.v1."
_NAME: Mapping[str, Any] = {"minLength": 1, "maxLength": 100}
_SAVED = {"enum": ["ANNOTATION_STATE_UNSPECIFIED", "ANNOTATION_STATE_DRAFT", "ANNOTATION_STATE_SUBMITTED"]}
_REVIEWED = {"enum": ["ANNOTATION_STATE_SUBMITTED", "ANNOTATION_STATE_ACCEPTED", "ANNOTATION_STATE_REJECTED"]}
_FRAME = {"enum": ["FRAME_VOXEL", "FRAME_LPS", "FRAME_RAS"]}
_SIGN = {"enum": ["CLICK_SIGN_POSITIVE", "CLICK_SIGN_NEGATIVE"]}
_SHARE = {"minimum": 0, "exclusiveMaximum": 1}
_LABELS = {"maxItems": 255}

# Of every message that has such a field.
_EVERYWHERE: Mapping[str, Mapping[str, Any]] = {
    "page_size": {"minimum": 0, "maximum": 1000},
    "request_id": {"maxLength": 64},
}

BOUNDS: Mapping[str, Mapping[str, Any]] = {
    "AnnotateRequest.prompts": {"minItems": 1, "maxItems": 1001},
    "ExtremePoints.frame": _FRAME,
    "ExtremePoints.points": {"minItems": 6, "maxItems": 20},
    "BoundingBox.frame": _FRAME,
    "Click.frame": _FRAME,
    "Click.sign": _SIGN,
    "Scribble.sign": _SIGN,
    "Lasso.sign": _SIGN,
    "Lasso.axis": {"minimum": 0, "maximum": 3},
    "CreateSessionRequest.image_digest": {"minLength": 1},
    "CreateSessionRequest.model": {"minLength": 1},
    "UpdateSessionRequest.segments": _LABELS,
    "ForkSessionRequest.segment": {"minimum": 0, "maximum": 255},
    "ForkSessionRequest.step": {"minimum": 0},
    "ListStepsRequest.segment": {"minimum": 0, "maximum": 255},
    "Segment.number": {"minimum": 1, "maximum": 255},
    "Segment.name": {"maxLength": 200},
    "CreateDatasetRequest.name": _NAME,
    "CreateDatasetRequest.labels": _LABELS,
    "CreateDatasetRequest.validation_share": _SHARE,
    "CreateDatasetRequest.test_share": _SHARE,
    "AddLabelsRequest.labels": _LABELS,
    "DatasetLabel.number": {"minimum": 0, "maximum": 255},
    "DatasetLabel.name": _NAME,
    "DatasetLabel.colour": {"pattern": "^(#[0-9a-f]{6})?$"},
    "DatasetLabel.snomed_code": {"pattern": "^([0-9]{6,18})?$"},
    "AddImagesRequest.images": {"minItems": 1, "maxItems": 1000},
    "NewDatasetImage.case_name": {"maxLength": 100},
    "NextImageRequest.keep_seconds": {"minimum": 0, "maximum": 86400},
    "NextImageRequest.readers": {"minimum": 0, "maximum": 20},
    "SkipImageRequest.reason": {"maxLength": 500},
    "SaveAnnotationRequest.state": _SAVED,
    "ImportAnnotationRequest.labels": {"minItems": 1},
    "ImportAnnotationRequest.state": _SAVED,
    "ReviewAnnotationRequest.state": _REVIEWED,
    "ReviewAnnotationRequest.reason": {"maxLength": 500},
    "AdjudicateAnnotationsRequest.among_ids": {"minItems": 2},
    "AdjudicateAnnotationsRequest.reason": {"maxLength": 500},
    "CreateJobRequest.kind": {"minLength": 1},
    "CreateJobRequest.priority": {"minimum": -100, "maximum": 100},
}
"""Bounds of fields, by message and field, in JSON Schema's terms."""

_REQUIRED = frozenset(
    {
        "AnnotateRequest.prompts",
        "ExtremePoints.frame",
        "ExtremePoints.points",
        "BoundingBox.frame",
        "BoundingBox.lower",
        "BoundingBox.upper",
        "Click.frame",
        "Click.point",
        "Click.sign",
        "Scribble.sign",
        "Lasso.sign",
        "CreateSessionRequest.image_digest",
        "CreateSessionRequest.model",
        "Segment.number",
        "CreateDatasetRequest.name",
        "DatasetLabel.name",
        "AddImagesRequest.images",
        "NewDatasetImage.image_digest",
        "SaveAnnotationRequest.session_id",
        "ImportAnnotationRequest.labels",
        "ReviewAnnotationRequest.state",
        "AdjudicateAnnotationsRequest.among_ids",
        "SegmentRequest.image_digest",
        "SegmentRequest.model",
        "CreateJobRequest.kind",
    }
)


def bounds_of(field: FieldDescriptor) -> Mapping[str, Any]:
    """Return the bounds of a field in JSON Schema's terms; none without any."""
    return BOUNDS.get(field.full_name.removeprefix(_PACKAGE), {}) or _EVERYWHERE.get(field.name, {})


def required_fields(message: Descriptor) -> list[str]:
    """Return the names of the fields without which a message is refused."""
    name = message.full_name.removeprefix(_PACKAGE)
    return [field.name for field in message.fields if f"{name}.{field.name}" in _REQUIRED]
