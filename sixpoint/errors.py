"""Every error that sixpoint raises, on either side of the wire.

The gateway raises these; its edge turns them into a ``google.rpc.Status`` (code, message, ErrorInfo.reason, BadRequest,
RetryInfo); the client turns that back into the same class. The tree::

    SixpointError
    ├── InvalidArgument            what was sent can never work            INVALID_ARGUMENT
    │   ├── VolumeError            the image, its file or its geometry
    │   ├── PromptError            prompts: too few points, outside, flat, unknown frame
    │   ├── DatasetError           labelled images to train on: a pair is missing, unequal, or no labels
    │   └── UploadError            the stream disagrees with its header
    │       └── ChecksumMismatch   the bytes are not those announced
    ├── NotFound                                                           NOT_FOUND
    │   ├── ModelNotFound
    │   ├── ImageNotFound
    │   ├── SessionNotFound
    │   └── SessionExpired
    ├── FailedPrecondition         right, but not in this state            FAILED_PRECONDITION
    │   ├── PromptNotSupported     the model does not take this kind of prompt
    │   ├── TaskNotSupported       the model is for another task
    │   ├── NothingToCorrect       clicks before extreme points, a box or a mask
    │   ├── NothingToUndo          a step back before the first
    │   ├── NothingToRedo          a step forward after the last
    │   └── ModelSpecError         the model's description is missing or wrong
    ├── Aborted                    another client was faster               ABORTED
    │   └── StaleRevision          the session has moved on since
    ├── ResourceExhausted          a limit is reached; retry_after says    RESOURCE_EXHAUSTED
    │   └── StorageFull            the disk, or its budget
    ├── Unavailable                a part is away for now                  UNAVAILABLE
    │   ├── TritonUnavailable
    │   └── StorageUnavailable     the database or the blob store
    ├── DeadlineExceeded                                                   DEADLINE_EXCEEDED
    ├── Cancelled                                                          CANCELLED
    └── InternalError              a fault of ours                         INTERNAL
        └── InferenceError         Triton refused or answered nonsense
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

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
    "Unavailable",
    "UploadError",
    "Violation",
    "VolumeError",
]


@dataclass(frozen=True)
class Violation:
    """One field of a request that was wrong: its path, and what was expected of it."""

    field: str
    description: str


class SixpointError(Exception):
    """Base of all errors of sixpoint.

    Attributes:
        message: What was wrong and what was expected; free of patient data.
        violations: The fields of the request at fault, if any.
        retry_after: Seconds after which a retry may succeed, or None.
    """

    reason: ClassVar[str] = "UNKNOWN"
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        violations: tuple[Violation, ...] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.violations = violations
        self.retry_after = retry_after

    def under(self, path: str) -> Self:
        """The same error, with the fields at fault under a path: those of a part become those of the whole."""
        moved = tuple(Violation(f"{path}.{fault.field}", fault.description) for fault in self.violations)
        return type(self)(self.message, violations=moved, retry_after=self.retry_after)

    @classmethod
    def tree(cls) -> Iterator[type[SixpointError]]:
        """This class and everything below it."""
        yield cls
        for child in cls.__subclasses__():
            yield from child.tree()


class InvalidArgument(SixpointError):
    """What was sent can never work, in any state of the server."""

    reason = "INVALID_ARGUMENT"


class VolumeError(InvalidArgument):
    """An image, its file or its geometry is not a usable 3D volume."""

    reason = "INVALID_VOLUME"


class PromptError(InvalidArgument):
    """Prompts that no model could use: too few points, outside the image, in one plane, a flat box, unknown frame."""

    reason = "INVALID_PROMPT"


class DatasetError(InvalidArgument):
    """Labelled images that nothing can be trained on: a file is missing, a pair disagrees, labels are none."""

    reason = "INVALID_DATASET"


class UploadError(InvalidArgument):
    """A stream of chunks that disagrees with its own header."""

    reason = "INVALID_UPLOAD"


class ChecksumMismatch(UploadError):
    """The bytes that arrived are not those whose SHA-256 was announced."""

    reason = "CHECKSUM_MISMATCH"


class NotFound(SixpointError):
    """No such thing here."""

    reason = "NOT_FOUND"


class ModelNotFound(NotFound):
    """Triton serves no annotation model of this name."""

    reason = "MODEL_NOT_FOUND"


class ImageNotFound(NotFound):
    """No image with this digest was uploaded, or it was evicted."""

    reason = "IMAGE_NOT_FOUND"


class SessionNotFound(NotFound):
    """No session has this id."""

    reason = "SESSION_NOT_FOUND"


class SessionExpired(NotFound):
    """The session was idle for too long and was closed."""

    reason = "SESSION_EXPIRED"


class FailedPrecondition(SixpointError):
    """Right in itself, but not in the present state."""

    reason = "FAILED_PRECONDITION"


class PromptNotSupported(FailedPrecondition):
    """The session's model does not take this kind of prompt."""

    reason = "PROMPT_NOT_SUPPORTED"


class TaskNotSupported(FailedPrecondition):
    """The model is for another task than the one that it was asked for."""

    reason = "TASK_NOT_SUPPORTED"


class NothingToCorrect(FailedPrecondition):
    """Clicks correct an answer, and nothing was begun: with extreme points, a box, a mask, or, for models that take
    clicks alone, a positive click.
    """

    reason = "NOTHING_TO_CORRECT"


class NothingToUndo(FailedPrecondition):
    """The segment stands before its first step."""

    reason = "NOTHING_TO_UNDO"


class NothingToRedo(FailedPrecondition):
    """The segment stands after its last step."""

    reason = "NOTHING_TO_REDO"


class ModelSpecError(FailedPrecondition):
    """A model whose description is missing, malformed, or contradicts its tensors."""

    reason = "MODEL_SPEC_INVALID"


class Aborted(SixpointError):
    """Another client changed the same thing at the same time; nothing was changed by this call."""

    reason = "ABORTED"


class StaleRevision(Aborted):
    """The session is at another revision than the one that the call was made for."""

    reason = "STALE_REVISION"


class ResourceExhausted(SixpointError):
    """A limit of the server is reached."""

    reason = "RESOURCE_EXHAUSTED"
    retryable = True


class StorageFull(ResourceExhausted):
    """The disk is full, or the budget for what is kept on it is spent."""

    reason = "STORAGE_FULL"


class Unavailable(SixpointError):
    """A part of the service is away for now."""

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
    """The caller went away."""

    reason = "CANCELLED"


class InternalError(SixpointError):
    """A fault of the server's own."""

    reason = "INTERNAL"


class InferenceError(InternalError):
    """Triton refused the request, or answered something other than the model's description promises."""

    reason = "INFERENCE_FAILED"
