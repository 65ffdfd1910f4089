"""The numbers in masks and label maps: which voxels are the object.

Everything that takes a mask goes through here: ``--mask``, initial masks, the trainer's and the exporter's datasets.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sixpoint._typing import Array, Bools
from sixpoint.errors import InvalidArgument, Violation

__all__ = ["MAX_SEGMENTS", "FractionalLabels", "SeveralLabels", "check_segment_number", "object_of", "whole_labels"]

# Resampling and float16 put labels this far from whole numbers; fractions of a probability map lie farther.
_TOLERANCE = 1e-3
# A larger one would wrap to another label where labels are int32, as in training.
_MAX_LABEL = 2**31 - 1
# Labels that a message names.
_NAMED = 10
MAX_SEGMENTS = 255
"""Segments of a session: labels of a saved mask are bytes."""


class FractionalLabels(ValueError):
    """Some numbers are fractions: they may be probabilities."""


class SeveralLabels(ValueError):
    """There are several labels, and none of them is chosen."""


def check_segment_number(number: int) -> None:
    """Refuse a number that no segment of a session can have.

    Raises:
        InvalidArgument: The number is not one from 1 to 255.
    """
    if not 1 <= number <= MAX_SEGMENTS:
        background = ", which is the background" if number == 0 else ""
        raise InvalidArgument(
            f"segment {number}{background}; expected a number from 1 to {MAX_SEGMENTS}",
            violations=(Violation("segment", f"1 to {MAX_SEGMENTS}"),),
        )


def whole_labels(values: Array) -> npt.NDArray[np.integer[Any]]:
    """Return the labels of a mask or label map as whole numbers.

    Args:
        values: Voxels; NaN counts as background, as some programs write it outside the object.

    Raises:
        FractionalLabels: A number is a fraction; the message has no subject, as those of all errors here.
        ValueError: A number is negative, infinite or above 2147483647.
    """
    if values.dtype == np.bool_:
        return values.view(np.uint8)
    if values.dtype.kind in "iu":
        if values.size and values.dtype.kind == "i" and values.min() < 0:
            raise ValueError(f"has the label {values.min()}, expected whole numbers from 0 on; is it an image?")
        if values.size and values.dtype.itemsize >= 4 and values.max() > _MAX_LABEL:
            raise ValueError(f"has the label {values.max()}, expected labels up to {_MAX_LABEL}")
        return values
    if values.dtype.kind != "f":
        raise ValueError(f"has numbers of the type {values.dtype}, expected whole numbers")
    filled = np.where(np.isnan(values), 0, values).astype(np.promote_types(values.dtype, np.float32), copy=False)
    labels = np.rint(filled)
    if not np.isfinite(filled).all():
        raise ValueError("has infinite numbers, expected labels")
    off = np.abs(filled - labels) > _TOLERANCE
    if off.any():
        raise FractionalLabels(
            f"has {np.count_nonzero(off)} voxels with fractions, such as {filled[off].flat[0]:.4g}, expected whole "
            "numbers; is it a probability map? Threshold it first"
        )
    if labels.size and labels.min() < 0:
        raise ValueError(f"has the label {labels.min():g}, expected whole numbers from 0 on; is it an image?")
    if labels.size and labels.max() > _MAX_LABEL:
        raise ValueError(f"has the label {labels.max():g}, expected labels up to {_MAX_LABEL}")
    return labels.astype(np.int32)


def object_of(values: Array, label: int | None = None, *, threshold: float | None = None) -> Bools:
    """Return the voxels of the one object that a mask or label map holds, or of one of its labels.

    Args:
        values: Voxels, as :func:`whole_labels` takes them; with a threshold, probabilities from 0 to 1, or NaN.
        label: Label of the object; None: the only one.
        threshold: Smallest probability of the object's voxels; None: the voxels are labels.

    Raises:
        InvalidArgument: The threshold is not above 0 and at most 1.
        FractionalLabels: There is no threshold, and a number is a fraction.
        SeveralLabels: There are several labels, and none is chosen.
        ValueError: The numbers are no labels, or no probabilities where there is a threshold; the label is 0 or has no
            voxel. The message has no subject.
    """
    if threshold is not None:
        return _above(values, threshold, label=label)
    if values.dtype == np.bool_ and label is None:
        return values
    labels = whole_labels(values)
    if label is not None:
        if label < 1:
            raise ValueError(f"is asked for label {label}, which is the background; expected a label from 1 on")
        chosen = labels == label
        if not chosen.any():
            raise ValueError(f"has no voxel of label {label}; it has {_listed(_present(labels))}")
        return chosen
    inside = labels != 0
    # Only a mask of several labels needs the list of them.
    if labels.size and not np.array_equal(labels == labels.max(), inside) and len(present := _present(labels)) > 1:
        raise SeveralLabels(f"has several labels ({_listed(present)}), expected one object; choose one")
    return inside


def _above(values: Array, threshold: float, *, label: int | None) -> Bools:
    """Cut a probability map at a threshold."""
    if not 0 < threshold <= 1:
        raise InvalidArgument(
            f"threshold {threshold:g}; expected a probability above 0, at most 1",
            violations=(Violation("threshold", "above 0, at most 1"),),
        )
    if label is not None:
        raise ValueError(f"is asked for label {label} and for a threshold, which labels do not have; leave one out")
    if values.dtype.kind not in "biuf":
        raise ValueError(f"has numbers of the type {values.dtype}, expected probabilities")
    with np.errstate(invalid="ignore"):
        if ((values < 0) | (values > 1)).any():
            low, high = np.nanmin(values), np.nanmax(values)
            raise ValueError(f"has numbers from {low:g} to {high:g}, expected probabilities from 0 to 1 to threshold")
        result: Bools = values >= threshold
    return result


def _present(labels: npt.NDArray[np.integer[Any]]) -> list[int]:
    """The labels that have voxels."""
    return [int(number) for number in np.unique(labels) if number]


def _listed(labels: list[int]) -> str:
    if not labels:
        return "only voxels of value 0"
    more = f" and {len(labels) - _NAMED} more" if len(labels) > _NAMED else ""
    return ", ".join(map(str, labels[:_NAMED])) + more
