"""Every error that sixpoint raises, in the client and in the server.

The gateway's edge turns them into a ``google.rpc.Status`` (code, message, ErrorInfo.reason, BadRequest, RetryInfo); the
client turns that back into the same class. The tree::

    SixpointError
    ├── InvalidArgument            the request is wrong in itself         INVALID_ARGUMENT
    │   ├── VolumeError            the image, its file or its geometry
    │   ├── PromptError            prompts: too few points, outside the image, flat box, ...
    │   ├── DatasetError           datasets: a label, an image or a file does not fit the others
    │   └── UploadError            the uploaded stream disagrees with its header
    │       └── ChecksumMismatch   the bytes do not match the announced SHA-256
    ├── Unauthenticated            no valid credentials came with a call  UNAUTHENTICATED
    ├── PermissionDenied           the caller's roles do not allow it     PERMISSION_DENIED
    ├── NotFound                                                           NOT_FOUND
    │   ├── ModelNotFound
    │   ├── ImageNotFound
    │   ├── SessionNotFound
    │   ├── SessionExpired
    │   ├── DatasetNotFound
    │   ├── AnnotationNotFound
    │   └── JobNotFound
    ├── FailedPrecondition         the current state does not allow it    FAILED_PRECONDITION
    │   ├── PromptNotSupported     the model does not accept this kind of prompt
    │   ├── TaskNotSupported       the model has another task
    │   ├── NothingToCorrect       clicks before an object was started
    │   ├── NothingToUndo          undo before the first step
    │   ├── NothingToRedo          redo after the last step
    │   ├── DatasetExists          there is a dataset of this name
    │   ├── NothingToSave          saving a session without masks
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

from sixpoint.errors.base import (
    SixpointError,
    Violation,
)
from sixpoint.errors.conditions import (
    Aborted,
    DatasetExists,
    FailedPrecondition,
    ModelSpecError,
    NothingToCorrect,
    NothingToRedo,
    NothingToSave,
    NothingToUndo,
    PromptNotSupported,
    StaleRevision,
    TaskNotSupported,
)
from sixpoint.errors.requests import (
    AnnotationNotFound,
    ChecksumMismatch,
    DatasetError,
    DatasetNotFound,
    ImageNotFound,
    InvalidArgument,
    JobNotFound,
    ModelNotFound,
    NotFound,
    PermissionDenied,
    PromptError,
    SessionExpired,
    SessionNotFound,
    Unauthenticated,
    UploadError,
    VolumeError,
)
from sixpoint.errors.service import (
    Cancelled,
    DeadlineExceeded,
    InferenceError,
    InternalError,
    ResourceExhausted,
    StorageFull,
    StorageUnavailable,
    TritonUnavailable,
    Unavailable,
)

__all__ = [
    "Aborted",
    "AnnotationNotFound",
    "Cancelled",
    "ChecksumMismatch",
    "DatasetError",
    "DatasetExists",
    "DatasetNotFound",
    "DeadlineExceeded",
    "FailedPrecondition",
    "ImageNotFound",
    "InferenceError",
    "InternalError",
    "InvalidArgument",
    "JobNotFound",
    "ModelNotFound",
    "ModelSpecError",
    "NotFound",
    "NothingToCorrect",
    "NothingToRedo",
    "NothingToSave",
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
