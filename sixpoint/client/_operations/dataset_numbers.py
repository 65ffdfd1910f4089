"""The contract's numbers of states, splits and strategies."""

from __future__ import annotations

from sixpoint.errors import InvalidArgument
from sixpoint.errors.shortening import quoted
from sixpoint.v1 import dataset_service_pb2 as dataset_pb

__all__ = ["split_number", "state_number", "strategy_number"]


def state_number(state: str) -> dataset_pb.AnnotationState.ValueType:
    """The contract's number of a state; an empty text for any.

    Raises:
        InvalidArgument: There is no such state.
    """
    try:
        return dataset_pb.AnnotationState.Value(f"ANNOTATION_STATE_{state.upper() or 'UNSPECIFIED'}")
    except ValueError:
        raise InvalidArgument(
            f"unknown state {quoted(state)}; expected draft, submitted, accepted or rejected"
        ) from None


def split_number(split: str) -> dataset_pb.Split.ValueType:
    """The contract's number of a split; an empty text for any.

    Raises:
        InvalidArgument: There is no such split.
    """
    try:
        return dataset_pb.Split.Value(f"SPLIT_{split.upper() or 'UNSPECIFIED'}")
    except ValueError:
        raise InvalidArgument(f"unknown split {quoted(split)}; expected training, validation or test") from None


def strategy_number(strategy: str) -> dataset_pb.NextStrategy.ValueType:
    """The contract's number of a strategy.

    Raises:
        InvalidArgument: There is no such strategy.
    """
    try:
        return dataset_pb.NextStrategy.Value(f"NEXT_STRATEGY_{strategy.upper() or 'UNSPECIFIED'}")
    except ValueError:
        raise InvalidArgument(
            f"unknown strategy {quoted(strategy)}; expected first, random, label, uncertain, disagreement or different"
        ) from None
