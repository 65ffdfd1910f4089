"""Checks of decisions between annotations of one image that disagree."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from gateway.core.datasets.records import AnnotationRow, AnnotationState
from sixpoint.errors import FailedPrecondition, InvalidArgument, Violation

__all__ = ["ADJUDICATED", "check_among", "check_one_image", "check_open", "is_decided"]

ADJUDICATED = "adjudicated"
"""Reason with which those are rejected that do not decide."""
_MIN_COUNT, _MAX_COUNT = 2, 20
_OPEN = frozenset({AnnotationState.SUBMITTED, AnnotationState.ACCEPTED})


def check_among(ids: Collection[str]) -> None:
    """Refuse a decision between too few annotations, or too many.

    Raises:
        InvalidArgument: It is one.
    """
    if not _MIN_COUNT <= len(set(ids)) <= _MAX_COUNT:
        raise InvalidArgument(
            f"a decision between {len(set(ids))} annotations; expected {_MIN_COUNT} to {_MAX_COUNT}. To judge a "
            "single one, review it",
            violations=(Violation("among_ids", f"{_MIN_COUNT} to {_MAX_COUNT} ids"),),
        )


def check_one_image(rows: Sequence[AnnotationRow]) -> None:
    """Refuse a decision between annotations of different images.

    Raises:
        InvalidArgument: They are.
    """
    if len({(row.dataset_id, row.image_digest) for row in rows}) > 1:
        raise InvalidArgument(
            "the annotations are of different images, or of different datasets; expected annotations of one image",
            violations=(Violation("among_ids", "annotations of one image"),),
        )


def check_open(rows: Sequence[AnnotationRow]) -> None:
    """Refuse a decision between annotations of which one does not count any more.

    Raises:
        FailedPrecondition: One is a draft or rejected, or somebody has decided already.
    """
    for row in rows:
        if row.adjudicated_by:
            raise FailedPrecondition(
                f"somebody has decided between version {row.version} and others already; to decide anew, take that "
                "back: review them as submitted"
            )
        if row.state not in _OPEN:
            raise FailedPrecondition(
                f"version {row.version} is {row.state.value}; expected annotations that are submitted or accepted. "
                "List those of the image again"
            )


def is_decided(deciding: AnnotationRow, others: Sequence[AnnotationRow], *, is_reader: bool) -> bool:
    """Whether a decision was made already, as of a call that is repeated.

    Args:
        deciding: Annotation that decides.
        others: Annotations that it is preferred to.
        is_reader: Whether it is one of those that disagree.
    """
    own = deciding.id if is_reader else ""
    accepted = deciding.state is AnnotationState.ACCEPTED and deciding.adjudicated_by == own
    return accepted and all(row.adjudicated_by == deciding.id for row in others)
