"""Scores of images: what a segmentation by a model said of them, besides its draft."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sixpoint._typing import Array, Float

__all__ = ["DraftComparison", "EmbeddedImage", "ImageScore", "ModelVersion", "rank_by_distance"]

# Distances are computed for so many pairs at a time: 32 MiB.
_PAIRS = 2**22


@dataclass(frozen=True)
class ModelVersion:
    """A version of a model.

    Attributes:
        model: Name of the model.
        version: Version of the model.
    """

    model: str
    version: str

    def __str__(self) -> str:
        return f"{self.model} {self.version}"


@dataclass(frozen=True)
class DraftComparison:
    """A draft beside what an annotation model makes of the six extreme points of its masks.

    Attributes:
        by: Version of the annotation model.
        dice: Dice of both masks, by the name of each label that was compared; empty if the draft has no such label.
    """

    by: ModelVersion
    dice: Mapping[str, float]


@dataclass(frozen=True)
class ImageScore:
    """The score of an image by a version of a model.

    Attributes:
        dataset_id: Id of the dataset.
        image_digest: SHA-256 of the image.
        model: Name of the model.
        model_version: Version of the model.
        created: Time when it was computed, seconds since 1970.
        entropies: Mean entropy in bits of each label by its name: see
            :class:`gateway.core.segmentation.scoring.SegmentationScore`.
        embedding: Image and foreground in a few numbers, little-endian float32.
        annotation_model: Name of the annotation model that the draft was compared with; empty if it was not.
        annotation_version: Version of that model.
        dice: Dice of draft and annotation model by the name of the label: see :class:`DraftComparison`.
    """

    dataset_id: str
    image_digest: str
    model: str
    model_version: str
    created: float
    entropies: Mapping[str, float]
    embedding: bytes
    annotation_model: str = ""
    annotation_version: str = ""
    dice: Mapping[str, float] = field(default_factory=dict)

    @property
    def uncertainty(self) -> float:
        """Mean of the labels' entropies."""
        return sum(self.entropies.values()) / max(1, len(self.entropies))

    @property
    def disagreement(self) -> float | None:
        """1 - the mean Dice of draft and annotation model; None if no label was compared."""
        return 1 - sum(self.dice.values()) / len(self.dice) if self.dice else None

    def is_compared_by(self, version: ModelVersion) -> bool:
        """Whether the draft was compared with a version of an annotation model."""
        return (self.annotation_model, self.annotation_version) == (version.model, version.version)


@dataclass(frozen=True)
class EmbeddedImage:
    """The embedding of an image of a dataset.

    Attributes:
        image_digest: SHA-256 of the image.
        embedding: Image and foreground in a few numbers, little-endian float32.
        free: Whether it waits for an annotation by the annotator who asks.
    """

    image_digest: str
    embedding: bytes
    free: bool


def rank_by_distance(images: Sequence[EmbeddedImage]) -> list[tuple[str, float]]:
    """Order the free images by their distance from the nearest other one, the farthest first: k-centre greedy.

    Each number of an embedding is divided by its standard deviation over the images. Without others, images come first
    that are near the mean of all.

    Args:
        images: Free images, and those that people have annotated or keep.

    Returns:
        Digest and distance of each free image; without others, the distance from the mean.
    """
    if not any(image.free for image in images):
        return []
    vectors = _standardised(np.stack([np.frombuffer(image.embedding, "<f4") for image in images]))
    is_free = np.array([image.free for image in images])
    free, others = vectors[is_free], vectors[~is_free]
    if len(others):
        distances = _nearest(free, others)
        order = np.argsort(-distances, kind="stable")
    else:
        distances = np.linalg.norm(free - vectors.mean(axis=0), axis=1)
        order = np.argsort(distances, kind="stable")
    digests = [image.image_digest for image in images if image.free]
    return [(digests[index], float(distances[index])) for index in order]


def _standardised(vectors: Float) -> Array:
    deviations = vectors.std(axis=0, dtype=np.float64)
    return vectors / np.where(deviations > 1e-6, deviations, 1.0)


def _nearest(points: Array, centres: Array) -> Array:
    """Distance of each point from the nearest centre."""
    step = max(1, _PAIRS // len(centres))
    squares = (centres**2).sum(axis=1)
    result = np.empty(len(points))
    for first in range(0, len(points), step):
        part = points[first : first + step]
        pairs = squares - 2 * part @ centres.T
        result[first : first + step] = pairs.min(axis=1) + (part**2).sum(axis=1)
    return np.sqrt(np.maximum(result, 0.0))
