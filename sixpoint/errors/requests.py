"""Errors of a request: it is wrong in itself, or asks for what is not there or not allowed."""

from __future__ import annotations

from sixpoint.errors.base import SixpointError

__all__ = [
    "AnnotationNotFound",
    "ChecksumMismatch",
    "DatasetError",
    "DatasetNotFound",
    "ImageNotFound",
    "InvalidArgument",
    "JobNotFound",
    "ModelNotFound",
    "NotFound",
    "PermissionDenied",
    "PromptError",
    "SessionExpired",
    "SessionNotFound",
    "Unauthenticated",
    "UploadError",
    "VolumeError",
]


class InvalidArgument(SixpointError):
    """The request is wrong in itself, in any state of the server."""

    reason = "INVALID_ARGUMENT"


class VolumeError(InvalidArgument):
    """An image, its file or its geometry is not a usable 3D volume."""

    reason = "INVALID_VOLUME"


class PromptError(InvalidArgument):
    """Prompts are unusable: too few points, outside the image, in one plane, a flat box, an unknown frame."""

    reason = "INVALID_PROMPT"


class DatasetError(InvalidArgument):
    """Labelled images are unusable for training: a file is missing, a pair disagrees, there are no labels."""

    reason = "INVALID_DATASET"


class UploadError(InvalidArgument):
    """The uploaded chunks disagree with their header."""

    reason = "INVALID_UPLOAD"


class ChecksumMismatch(UploadError):
    """The received bytes do not match the announced SHA-256."""

    reason = "CHECKSUM_MISMATCH"


class Unauthenticated(SixpointError):
    """The gateway asks for credentials, and none that are valid came with the call."""

    reason = "UNAUTHENTICATED"


class PermissionDenied(SixpointError):
    """The caller is known, and its roles do not allow the call."""

    reason = "PERMISSION_DENIED"


class NotFound(SixpointError):
    """The requested object does not exist."""

    reason = "NOT_FOUND"


class ModelNotFound(NotFound):
    """Triton serves no model of this name."""

    reason = "MODEL_NOT_FOUND"


class ImageNotFound(NotFound):
    """No image with this digest was uploaded, or it was removed."""

    reason = "IMAGE_NOT_FOUND"


class SessionNotFound(NotFound):
    """No session has this id."""

    reason = "SESSION_NOT_FOUND"


class SessionExpired(NotFound):
    """The session was unused for too long and was closed."""

    reason = "SESSION_EXPIRED"


class DatasetNotFound(NotFound):
    """There is no dataset of this name."""

    reason = "DATASET_NOT_FOUND"


class AnnotationNotFound(NotFound):
    """There is no saved annotation of this id."""

    reason = "ANNOTATION_NOT_FOUND"


class JobNotFound(NotFound):
    """There is no job of this id."""

    reason = "JOB_NOT_FOUND"
