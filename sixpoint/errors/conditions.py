"""Errors of a request that the current state does not allow."""

from __future__ import annotations

from sixpoint.errors.base import SixpointError

__all__ = [
    "Aborted",
    "DatasetExists",
    "FailedPrecondition",
    "ModelSpecError",
    "NothingToCorrect",
    "NothingToRedo",
    "NothingToSave",
    "NothingToUndo",
    "PromptNotSupported",
    "StaleRevision",
    "TaskNotSupported",
]


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


class DatasetExists(FailedPrecondition):
    """There is a dataset of this name already."""

    reason = "DATASET_EXISTS"


class NothingToSave(FailedPrecondition):
    """The session has no mask to save."""

    reason = "NOTHING_TO_SAVE"


class ModelSpecError(FailedPrecondition):
    """The ModelSpec is missing, invalid, or contradicts the model's tensors."""

    reason = "MODEL_SPEC_INVALID"


class Aborted(SixpointError):
    """Another client changed the same object at the same time; this call changed nothing."""

    reason = "ABORTED"


class StaleRevision(Aborted):
    """The session is at another revision than the call expects."""

    reason = "STALE_REVISION"
