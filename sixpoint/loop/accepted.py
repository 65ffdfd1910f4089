"""Which accepted annotations no training has had."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sixpoint.client import AnnotationInfo
from sixpoint.loop.decisions import Decision

__all__ = ["identify", "new_annotations"]


def identify(annotation: AnnotationInfo) -> str:
    """Name an annotation together with its image: equal masks of two images have the same digest."""
    return f"{annotation.image_digest}/{annotation.digest}"


def new_annotations(accepted: Sequence[AnnotationInfo], decisions: Iterable[Decision]) -> list[AnnotationInfo]:
    """Choose the annotations that were not yet accepted when the last trainings began.

    Records written before images were named with their annotations have the digests of annotations alone.

    Args:
        accepted: Annotations that are accepted now.
        decisions: Decisions about the model, in any order.
    """
    considered = {name for decision in decisions for name in decision.considered}
    return [each for each in accepted if considered.isdisjoint((identify(each), each.digest))]
