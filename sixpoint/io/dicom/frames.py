"""One slice of a DICOM image: where its header says that it lies, and what its stored numbers stand for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset

from sixpoint._typing import Vector
from sixpoint.errors import VolumeError

__all__ = ["Frame", "PixelFormat", "first_item", "numbers", "vector", "whole"]


@dataclass(frozen=True)
class PixelFormat:
    """How the pixels of a file are stored.

    Attributes:
        rows: Pixels along y.
        columns: Pixels along x.
        bits_allocated: Bits that a pixel takes: 8, 16 or 32.
        bits_stored: Bits that hold its value.
        signed: Whether the values are two's complement.
        inverted_display: Whether viewers show large values dark (MONOCHROME1).
    """

    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    signed: bool
    inverted_display: bool = False

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest value that the stored bits can hold."""
        if self.signed:
            return -(1 << (self.bits_stored - 1)), (1 << (self.bits_stored - 1)) - 1
        return 0, (1 << self.bits_stored) - 1


@dataclass(frozen=True)
class Frame:
    """One slice: a file of a classic series, or a frame of a multi-frame file.

    Attributes:
        file: Attributes of the file that holds it, its pixels still on the disk.
        index: Its place in the file's pixel data, from 0.
        name: How error messages call it; free of file names, UIDs and dates.
        number: InstanceNumber, or the frame's number in its file; None when the header lacks it.
        pixels: Format of the file's pixel data.
        position: Patient position (LPS, mm) of the first pixel's centre; None when the header lacks it.
        orientation: Cosines of the row and of the column direction; None when the header lacks them.
        pixel_spacing: Millimetres between rows and between columns; None when the header lacks them.
        slope: Rescale slope.
        intercept: Rescale intercept.
        group: Stack, temporal position and echo time; frames of one volume have them in common.
    """

    file: Dataset
    index: int
    name: str
    number: int | None
    pixels: PixelFormat
    position: Vector | None
    orientation: tuple[float, ...] | None
    pixel_spacing: tuple[float, float] | None
    slope: float = 1.0
    intercept: float = 0.0
    group: tuple[str, str, str] = ("", "", "")

    @property
    def value_rule(self) -> tuple[float, float, int, bool]:
        """What a stored number of this frame means; frames that agree share a voxel type."""
        return self.slope, self.intercept, self.pixels.bits_stored, self.pixels.signed


def first_item(dataset: Dataset | None, keyword: str) -> Dataset | None:
    """The first item of a sequence; None when the sequence is absent or empty."""
    sequence = dataset.get(keyword) if dataset is not None else None
    return sequence[0] if sequence else None


def numbers(dataset: Dataset | None, keyword: str) -> tuple[float, ...]:
    """The numbers of an attribute; none when it is absent or empty.

    Raises:
        VolumeError: When a value is not a finite number.
    """
    if dataset is None:
        return ()
    try:
        value: Any = dataset.get(keyword)
        values = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        read = tuple(float(one) for one in values if one is not None and one != "")
    except (TypeError, ValueError, OverflowError) as error:
        raise VolumeError(f"{keyword} holds something that is not a number; correct the header") from error
    if not all(map(math.isfinite, read)):
        raise VolumeError(f"{keyword} holds a number that is not finite; correct the header")
    return read


def whole(dataset: Dataset, keyword: str) -> int | None:
    """The whole number of an attribute; None when it is absent, empty, or something else."""
    try:
        values = numbers(dataset, keyword)
    except VolumeError:
        return None
    return int(values[0]) if len(values) == 1 and values[0].is_integer() else None


def vector(dataset: Dataset | None, keyword: str, count: int) -> tuple[float, ...] | None:
    """The numbers of an attribute of ``count`` values; None when it is absent or empty.

    Raises:
        VolumeError: When it has another number of values.
    """
    values = numbers(dataset, keyword)
    if not values:
        return None
    if len(values) != count:
        raise VolumeError(f"{keyword} has {len(values)} values instead of {count}; correct the header")
    return values
