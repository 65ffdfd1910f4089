"""Which annotations are the opinion of a reader of an image."""

from __future__ import annotations

from collections.abc import Sequence

from sixpoint.client import AnnotationInfo

__all__ = ["open_annotations", "reader_annotations"]

_COUNTED = ("submitted", "accepted")


def reader_annotations(annotations: Sequence[AnnotationInfo]) -> dict[str, dict[str, AnnotationInfo]]:
    """Return the annotation of each person that counts, by image and by annotator.

    It is the latest that is submitted or accepted, or that was so when somebody decided between it and others. An
    annotation that was made to decide is no reader's.

    Args:
        annotations: Annotations, the latest first.
    """
    deciding = {info.adjudicated_by for info in annotations}
    readers: dict[str, dict[str, AnnotationInfo]] = {}
    for info in annotations:
        counts = info.state in _COUNTED and info.id not in deciding
        if counts or info.adjudicated_by:
            readers.setdefault(info.image_digest, {}).setdefault(info.annotator, info)
    return readers


def open_annotations(annotations: Sequence[AnnotationInfo]) -> dict[str, dict[str, AnnotationInfo]]:
    """Return those of :func:`reader_annotations` between which nobody has decided.

    Args:
        annotations: Annotations, the latest first.
    """
    readers = reader_annotations(annotations)
    return {
        digest: {name: info for name, info in of_image.items() if not info.adjudicated_by}
        for digest, of_image in readers.items()
    }
