"""Between the messages of ``sixpoint.v1.DatasetService`` and the core's records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from gateway.core.datasets import (
    AnnotationRow,
    AnnotationState,
    Dataset,
    DatasetImageRow,
    DatasetLabel,
    ImageScore,
    ImageTrace,
    NextStrategy,
    RemovedImage,
    Split,
)
from sixpoint.errors import DatasetError, InvalidArgument, Violation
from sixpoint.errors.shortening import quoted
from sixpoint.mask import PackedMask
from sixpoint.protocol import geometry_to_message, mask_from_message
from sixpoint.v1 import dataset_service_pb2 as dataset_pb

__all__ = [
    "annotation_to_message",
    "dataset_to_message",
    "image_to_message",
    "read_labels",
    "read_mask",
    "read_split",
    "read_state",
    "read_strategy",
    "removed_to_message",
    "score_to_message",
    "time_to_message",
    "trace_to_message",
]

_SPLITS = {
    Split.TRAINING: dataset_pb.SPLIT_TRAINING,
    Split.VALIDATION: dataset_pb.SPLIT_VALIDATION,
    Split.TEST: dataset_pb.SPLIT_TEST,
}
_STATES = {
    AnnotationState.DRAFT: dataset_pb.ANNOTATION_STATE_DRAFT,
    AnnotationState.SUBMITTED: dataset_pb.ANNOTATION_STATE_SUBMITTED,
    AnnotationState.ACCEPTED: dataset_pb.ANNOTATION_STATE_ACCEPTED,
    AnnotationState.REJECTED: dataset_pb.ANNOTATION_STATE_REJECTED,
}

_STRATEGIES: dict[int, NextStrategy] = {
    dataset_pb.NEXT_STRATEGY_FIRST: NextStrategy.FIRST,
    dataset_pb.NEXT_STRATEGY_RANDOM: NextStrategy.RANDOM,
    dataset_pb.NEXT_STRATEGY_LABEL: NextStrategy.LABEL,
    dataset_pb.NEXT_STRATEGY_UNCERTAIN: NextStrategy.UNCERTAIN,
    dataset_pb.NEXT_STRATEGY_DIFFERENT: NextStrategy.DIFFERENT,
    dataset_pb.NEXT_STRATEGY_DISAGREEMENT: NextStrategy.DISAGREEMENT,
}

_Value = TypeVar("_Value", Split, AnnotationState, NextStrategy)


def read_labels(messages: Sequence[dataset_pb.DatasetLabel]) -> list[DatasetLabel]:
    """Read the labels of a request."""
    return [DatasetLabel(label.number, label.name, label.colour, label.snomed_code) for label in messages]


def read_split(number: int) -> Split | None:
    """Read a split; None if it is not set.

    Raises:
        InvalidArgument: The contract does not have it.
    """
    return _read(number, {message: split for split, message in _SPLITS.items()}, field="split")


def read_state(number: int) -> AnnotationState | None:
    """Read the state of an annotation; None if it is not set.

    Raises:
        InvalidArgument: The contract does not have it.
    """
    return _read(number, {message: state for state, message in _STATES.items()}, field="state")


def read_strategy(number: int) -> NextStrategy:
    """Read which image comes next; the first if it is not set.

    Raises:
        InvalidArgument: The contract does not have it.
    """
    return _read(number, _STRATEGIES, field="strategy") or NextStrategy.FIRST


def read_mask(label: dataset_pb.LabelMask) -> PackedMask:
    """Read the mask of a label.

    Raises:
        DatasetError: It has no box.
    """
    box = label.mask.box
    if len(box.lower) != 3 or len(box.upper) != 3:
        raise DatasetError(
            f"the mask of {quoted(label.name)} has no box; expected three numbers for lower and upper",
            violations=(Violation("labels", "masks with a box"),),
        )
    return mask_from_message(label.mask)


def dataset_to_message(dataset: Dataset) -> dataset_pb.Dataset:
    """Convert a dataset to a message."""
    row = dataset.row
    return dataset_pb.Dataset(
        name=row.name,
        owner=row.owner,
        create_time=time_to_message(row.created),
        labels=[dataset_pb.DatasetLabel(**vars(label)) for label in row.labels],
        validation_share=row.validation_share,
        test_share=row.test_share,
        image_count=dataset.counts.images,
        accepted_count=dataset.counts.accepted,
    )


def image_to_message(row: DatasetImageRow) -> dataset_pb.DatasetImage:
    """Convert an image of a dataset to a message."""
    return dataset_pb.DatasetImage(
        image_digest=row.image_digest,
        case_name=row.case_name,
        split=_SPLITS[row.split],
        add_time=time_to_message(row.added),
        annotation_count=row.annotation_count,
        state=_STATES[row.state] if row.state else dataset_pb.ANNOTATION_STATE_UNSPECIFIED,
        geometry=geometry_to_message(row.geometry) if row.geometry else None,
    )


def score_to_message(score: ImageScore) -> dataset_pb.ImageScore:
    """Convert the score of an image to a message."""
    return dataset_pb.ImageScore(
        model=score.model,
        model_version=score.model_version,
        uncertainty=score.uncertainty,
        entropies=[dataset_pb.LabelEntropy(label=name, entropy=value) for name, value in score.entropies.items()],
        create_time=time_to_message(score.created),
        annotation_model=score.annotation_model,
        annotation_version=score.annotation_version,
        disagreement=score.disagreement,
        dice=[dataset_pb.LabelDice(label=name, dice=value) for name, value in score.dice.items()],
    )


def annotation_to_message(row: AnnotationRow) -> dataset_pb.Annotation:
    """Convert an annotation to a message."""
    message = dataset_pb.Annotation(
        id=row.id,
        dataset=row.dataset,
        image_digest=row.image_digest,
        version=row.version,
        annotator=row.annotator,
        create_time=time_to_message(row.created),
        labels=[dataset_pb.AnnotatedLabel(**vars(label)) for label in row.labels],
        session_id=row.session_id,
        model=row.model,
        model_version=row.model_version,
        prompt_count=row.prompt_count,
        active_seconds=row.active_seconds,
        state=_STATES[row.state],
        digest=row.digest,
        adjudicated_by=row.adjudicated_by,
    )
    if row.review:
        message.reviewer = row.review.reviewer
        message.reason = row.review.reason
        message.review_time.CopyFrom(time_to_message(row.review.time))
    return message


def _read(number: int, values: dict[int, _Value], *, field: str) -> _Value | None:
    if number and number not in values:
        raise InvalidArgument(f"unknown {field} {number}", violations=(Violation(field, "one of the contract"),))
    return values.get(number)


def time_to_message(seconds: float) -> Timestamp:
    """Convert seconds since 1970 to a message."""
    message = Timestamp()
    message.FromMicroseconds(round(seconds * 1e6))
    return message


def trace_to_message(trace: ImageTrace) -> dataset_pb.ImageTrace:
    """Convert what is kept of an image to a message."""
    return dataset_pb.ImageTrace(
        image=image_to_message(trace.image),
        annotations=[annotation_to_message(row) for row in trace.annotations],
        other_datasets=trace.other_datasets,
        sessions=[dataset_pb.TracedSession(**vars(session)) for session in trace.sessions],
        learnt=[dataset_pb.LearntVersion(**vars(version)) for version in trace.learnt],
    )


def removed_to_message(removed: RemovedImage) -> dataset_pb.RemovedImage:
    """Convert an image that was removed to a message."""
    return dataset_pb.RemovedImage(
        image=image_to_message(removed.image),
        annotation_count=removed.annotation_count,
        session_count=len(removed.session_ids),
        voxels_removed=removed.voxels_removed,
    )
