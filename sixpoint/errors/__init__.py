"""Every error that sixpoint raises, in the client and in the server.

The gateway's edge turns them into a ``google.rpc.Status`` (code, message, ErrorInfo.reason, BadRequest, RetryInfo); the
client turns that back into the same class. The tree::

    SixpointError
    ├── InvalidArgument            the request is wrong in itself         INVALID_ARGUMENT
    │   ├── VolumeError            the image, its file or its geometry
    │   ├── PromptError            prompts: too few points, outside the image, flat box, ...
    │   ├── DatasetError           labelled images for training: a file is missing, a pair disagrees
    │   └── UploadError            the uploaded stream disagrees with its header
    │       └── ChecksumMismatch   the bytes do not match the announced SHA-256
    ├── Unauthenticated            no valid credentials came with a call  UNAUTHENTICATED
    ├── PermissionDenied           the caller's roles do not allow it     PERMISSION_DENIED
    ├── NotFound                                                           NOT_FOUND
    │   ├── ModelNotFound
    │   ├── ImageNotFound
    │   ├── SessionNotFound
    │   └── SessionExpired
    ├── FailedPrecondition         the current state does not allow it    FAILED_PRECONDITION
    │   ├── PromptNotSupported     the model does not accept this kind of prompt
    │   ├── TaskNotSupported       the model has another task
    │   ├── NothingToCorrect       clicks before an object was started
    │   ├── NothingToUndo          undo before the first step
    │   ├── NothingToRedo          redo after the last step
    │   └── ModelSpecError         the ModelSpec is missing or invalid
    ├── Aborted                    another client changed it first        ABORTED
    │   └── StaleRevision          the session is at a later revision
    ├── ResourceExhausted          a limit is reached; see retry_after     RESOURCE_EXHAUSTED
    │   └── StorageFull            the disk, or its quota, is full
    ├── Unavailable                a part of the service is unavailable   UNAVAILABLE
    │   ├── TritonUnavailable
    │   └── StorageUnavailable     the database or the blob store
    ├── DeadlineExceeded                                                   DEADLINE_EXCEEDED
    ├── Cancelled                                                          CANCELLED
    └── InternalError              a fault of the server                  INTERNAL
        └── InferenceError         Triton refused, or its answer does not fit the ModelSpec
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from sixpoint.errors.shortening import shorten

__all__ = [
    "Aborted",
    "Cancelled",
    "ChecksumMismatch",
    "DatasetError",
    "DeadlineExceeded",
    "FailedPrecondition",
    "ImageNotFound",
    "InferenceError",
    "InternalError",
    "InvalidArgument",
    "ModelNotFound",
    "ModelSpecError",
    "NotFound",
    "NothingToCorrect",
    "NothingToRedo",
    "NothingToUndo",
    "PermissionDenied",
    "PromptError",
    "PromptNotSupported",
    "ResourceExhausted",
    "SessionExpired",
    "SessionNotFound",
    "SixpointError",
    "StaleRevision",
    "StorageFull",
    "StorageUnavailable",
    "TaskNotSupported",
    "TritonUnavailable",
    "Unauthenticated",
    "Unavailable",
    "UploadError",
    "Violation",
    "VolumeError",
]


@dataclass(frozen=True)
class Violation:
    """A wrong field of a request: its path, and the value that was expected."""

    field: str
    description: str


class SixpointError(Exception):
    """Base of all errors of sixpoint.

    Attributes:
        message: What is wrong, what was expected and what to do; free of patient data, and of at most 4000 characters.
        violations: Wrong fields of the request, if any.
        retry_after: Seconds after which a retry may succeed; None: unknown.
    """

    reason: ClassVar[str] = "UNKNOWN"
    retryable: ClassVar[bool] = False

    def __init__(
        self, message: str, *, violations: tuple[Violation, ...] = (), retry_after: float | None = None
    ) -> None:
        # Names in it are shortened where it is made; this holds for what nobody thought of, such as a list of names.
        self.message: str = shorten(message, 4000)
        super().__init__(self.message)
        self.violations = violations
        self.retry_after = retry_after

    def under(self, path: str) -> Self:
        """The same error, with the paths of its wrong fields prefixed: fields of a part become fields of the whole."""
        violations = tuple(Violation(f"{path}.{fault.field}", fault.description) for fault in self.violations)
        return type(self)(self.message, violations=violations, retry_after=self.retry_after)

    @classmethod
    def tree(cls) -> Iterator[type[SixpointError]]:
        """This class and all its subclasses."""
        yield cls
        for child in cls.__subclasses__():
            yield from child.tree()


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


class FailedPrecondition(SixpointError):
    """The current state does not allow the call."""

    reason = "FAILED_PRECONDITION"


class PromptNotSupported(FailedPrecondition):
    """The session's model does not accept this kind of prompt."""

    reason = "PROMPT_NOT_SUPPORTED"


class TaskNotSupported(FailedPrecondition):
    """The model has another task than the call needs."""

    reason = "TASK_NOT_SUPPORTED"


class NothingToCorrect(FailedPrecondition):
    """Clicks came before an object was started: by extreme points, a box or a mask, or, for models that accept clicks
    only, by a positive click.
    """

    reason = "NOTHING_TO_CORRECT"


class NothingToUndo(FailedPrecondition):
    """The segment is before its first step."""

    reason = "NOTHING_TO_UNDO"


class NothingToRedo(FailedPrecondition):
    """The segment is at its last step."""

    reason = "NOTHING_TO_REDO"


class ModelSpecError(FailedPrecondition):
    """The ModelSpec is missing, invalid, or contradicts the model's tensors."""

    reason = "MODEL_SPEC_INVALID"


class Aborted(SixpointError):
    """Another client changed the same object at the same time; this call changed nothing."""

    reason = "ABORTED"


class StaleRevision(Aborted):
    """The session is at another revision than the call expects."""

    reason = "STALE_REVISION"


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
