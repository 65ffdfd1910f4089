"""Score a segmentation as it goes: how uncertain the network is of each label, and a short description of the image.

People who annotate get those images first of which the network is least certain, or which differ most from what they
have annotated: see :mod:`gateway.core.datasets.choosing`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from gateway.core.segmentation.foreground import Box
from gateway.core.segmentation.label_map import LabelMap
from sixpoint._typing import Array, Float, Floating, Vector
from sixpoint.model_spec import ModelSpec
from sixpoint.preprocessing import Roi

__all__ = ["EMBEDDING_SIZE", "SegmentationScore", "SegmentationScorer"]

# Cells below it are background for sure: they would make small objects look certain.
_MIN_PROBABILITY = 0.05
_HISTOGRAM_BINS = 16
# Cells along an axis of which the histogram is made: more change little.
_SAMPLES = 32
# Histogram, extents of the image, and share, centre and spread of the foreground.
EMBEDDING_SIZE = _HISTOGRAM_BINS + 3 + 1 + 3 + 3
"""Numbers of an embedding."""


@dataclass(frozen=True, eq=False)
class SegmentationScore:
    """What a segmentation says of its image, besides the labels.

    Attributes:
        entropies: By label, the mean entropy in bits of label or not, over the cells of the network's grid where the
            label's probability is at least 0.05: 0 (certain, or without such cells) to 1.
        embedding: Image and foreground in a few numbers, float32 [EMBEDDING_SIZE]: the histogram of the network's first
            input channel, extents of the image, and share, centre and spread of the foreground.
    """

    entropies: Mapping[str, float]
    embedding: Float


class SegmentationScorer:
    """Computes the score of a segmentation from the slices of probabilities that label it.

    Args:
        channel: First channel [z, y, x] of the network's input, as the network sees it.
        roi: Grid of the network over the whole image.
        spacing: Spacing of the canonical image, mm along (x, y, z).
        spec: Spec of the model.
        box: Cells (z, y, x) of the grid that the network sees; None: all.
    """

    def __init__(self, channel: Floating, *, roi: Roi, spacing: Vector, spec: ModelSpec, box: Box | None) -> None:
        self._labels = spec.labels
        self._exclusive = spec.output.exclusive
        self._image_part = np.concatenate([_histogram(channel), _extents(roi, spacing)])
        self._size = roi.size[::-1]
        self._first = tuple(side.start for side in box) if box else (0, 0, 0)
        self._entropy = np.zeros(len(self._labels))
        self._cells = np.zeros(len(self._labels))
        # Foreground cells in each slice, row and column.
        self._profiles = [np.zeros(n) for n in channel.shape]

    def add_slices(self, first: int, cells: Float, label_map: LabelMap) -> None:
        """Add slices right after they were added to a label map.

        Args:
            first: Index of the first slice in ``channel``.
            cells: The cells [channel, z, y, x] that the label map got.
            label_map: The label map.
        """
        for offset, probabilities in _pieces(cells, label_map):
            labels = probabilities[1:] if self._exclusive else probabilities
            for index, values in enumerate(labels):
                near = values[values >= _MIN_PROBABILITY].astype(np.float64)
                self._entropy[index] += _entropy(near).sum()
                self._cells[index] += near.size
            foreground = probabilities[0] < 0.5 if self._exclusive else probabilities.max(axis=0) >= 0.5
            z = first + offset
            self._profiles[0][z : z + len(foreground)] += foreground.sum(axis=(1, 2))
            self._profiles[1] += foreground.sum(axis=(0, 2))
            self._profiles[2] += foreground.sum(axis=(0, 1))

    def score(self) -> SegmentationScore:
        """Return the score, after the last slice."""
        means = self._entropy / np.maximum(self._cells, 1)
        entropies = {name: float(mean) for name, mean in zip(self._labels, means, strict=True)}
        embedding = np.concatenate([self._image_part, self._foreground_part()]).astype(np.float32)
        return SegmentationScore(entropies, embedding)

    def _foreground_part(self) -> Array:
        """Cube root of the share of the foreground, its centre and its spread, as parts of the image's extents."""
        count = self._profiles[0].sum()
        if not count:
            return np.array([0.0, 0.5, 0.5, 0.5, 0.0, 0.0, 0.0])
        centres, spreads = [], []
        for profile, first, n in zip(self._profiles, self._first, self._size, strict=True):
            places = (first + np.arange(len(profile)) + 0.5) / n
            centre = (profile * places).sum() / count
            centres.append(centre)
            spreads.append(np.sqrt((profile * (places - centre) ** 2).sum() / count))
        return np.array([np.cbrt(count / np.prod(self._size)), *centres, *spreads])


def _pieces(cells: Float, label_map: LabelMap) -> Iterator[tuple[int, Float]]:
    """The probabilities of slices, with the index of their first one; of logits, slice by slice: they are copied."""
    if not label_map.compares_logits:
        yield 0, cells
        return
    for index in range(cells.shape[1]):
        yield index, label_map.probabilities(cells[:, index : index + 1])


def _entropy(probabilities: Array) -> Array:
    """Entropy in bits of events with these probabilities."""
    others = 1 - probabilities
    tiny = np.finfo(np.float64).tiny
    return -(probabilities * np.log2(probabilities) + others * np.log2(np.maximum(others, tiny)))


def _histogram(channel: Floating) -> Array:
    """Square roots of the shares of a histogram: their distances do not depend on the most common values alone."""
    sample = channel[tuple(slice(None, None, -(-n // _SAMPLES)) for n in channel.shape)]
    # Inputs are windowed: most are in [-1, 1], and others are brought there.
    counts, _ = np.histogram(np.tanh(sample.astype(np.float32)), bins=_HISTOGRAM_BINS, range=(-1.0, 1.0))
    return np.sqrt(counts / max(1, counts.sum()))


def _extents(roi: Roi, spacing: Vector) -> Array:
    """Decadic logarithms of the extents of an image, mm along (x, y, z)."""
    return np.log10(np.maximum((np.asarray(roi.upper) - np.asarray(roi.lower)) * np.asarray(spacing), 1.0))
