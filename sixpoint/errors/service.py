"""Errors of the service: a limit, a part that is away, or a fault."""

from __future__ import annotations

from sixpoint.errors.base import SixpointError

__all__ = [
    "Cancelled",
    "DeadlineExceeded",
    "InferenceError",
    "InternalError",
    "ResourceExhausted",
    "StorageFull",
    "StorageUnavailable",
    "TritonUnavailable",
    "Unavailable",
]


class ResourceExhausted(SixpointError):
    """A limit of the server is reached."""

    reason = "RESOURCE_EXHAUSTED"
    retryable = True


class StorageFull(ResourceExhausted):
    """The disk, or a quota on it, is full."""

    reason = "STORAGE_FULL"


class Unavailable(SixpointError):
    """A part of the service is unavailable."""

    reason = "UNAVAILABLE"
    retryable = True


class TritonUnavailable(Unavailable):
    """Triton cannot be reached, or the model is not ready in it."""

    reason = "TRITON_UNAVAILABLE"


class StorageUnavailable(Unavailable):
    """The database or the blob store cannot be reached."""

    reason = "STORAGE_UNAVAILABLE"


class DeadlineExceeded(SixpointError):
    """The call's deadline passed."""

    reason = "DEADLINE_EXCEEDED"


class Cancelled(SixpointError):
    """The caller cancelled the call."""

    reason = "CANCELLED"


class InternalError(SixpointError):
    """A fault of the server."""

    reason = "INTERNAL"


class InferenceError(InternalError):
    """Triton refused the request, or its answer does not fit the ModelSpec."""

    reason = "INFERENCE_FAILED"
