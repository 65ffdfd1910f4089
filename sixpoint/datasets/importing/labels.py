"""The labels of a case: their numbers and names, and their masks on the grid of the image."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sixpoint._typing import Bools
from sixpoint.datasets.importing.source import Source
from sixpoint.errors import DatasetError
from sixpoint.geometry import Geometry
from sixpoint.io import is_dicom
from sixpoint.io.label_names import read_label_names
from sixpoint.masks.labels import whole_labels
from sixpoint.masks.regridding import map_grid, reorder
from sixpoint.volume import Volume

__all__ = ["LabelNaming", "read_masks", "read_numbers"]


@dataclass(frozen=True)
class LabelNaming:
    """What the labels of a source are called.

    Attributes:
        names: Names by number, as a person gave them; they go before those of files. With any, no others are taken.
        left_out: Numbers that are not imported.
        complete: Whether a label without voxels is absent; None for what the layout says.
    """

    names: Mapping[int, str]
    left_out: Collection[int] = ()
    complete: bool | None = None

    def takes(self, number: int) -> bool:
        """Whether a label is imported."""
        return number not in self.left_out and (not self.names or number in self.names)

    def name(self, number: int, file_names: Mapping[int, str], source: Source) -> str:
        """The name of a label; empty without one."""
        return self.names.get(number) or file_names.get(number) or source.names.get(number, "")


def read_numbers(path: Path) -> dict[int, str]:
    """The numbers of the labels that a file has voxels of, with the names that it gives them; empty without one.

    Args:
        path: Label map, or DICOM SEG.

    Raises:
        VolumeError: The file cannot be read.
        ValueError: Its numbers are no labels; the message has no subject.
    """
    if is_dicom(path):
        from sixpoint.io.dicom.segmentations import list_segments

        return list_segments(path, path)
    names = read_label_names(path)
    numbers = np.unique(whole_labels(Volume.read(path).array))
    return {number: names.get(number, "") for number in numbers.tolist() if number}


def read_masks(
    path: Path, geometry: Geometry, names: Mapping[int, str], *, ignored: Collection[int]
) -> dict[str, Bools]:
    """Read the masks [z, y, x] of labels on the grid of their image, by name.

    Args:
        path: Label map, or DICOM SEG.
        geometry: Geometry of the image.
        names: Names of the labels to read by their number; those without voxels are left out.
        ignored: Numbers of voxels of which nothing is known.

    Raises:
        DatasetError: Nothing is known about some voxels, or the file has another grid.
        VolumeError: The file cannot be read.
        ValueError: Its numbers are no labels, or it lies on another grid; the message has no subject.
    """
    if is_dicom(path):
        return {name: _read_segment(path, number, geometry) for number, name in names.items()}
    volume = Volume.read(path)
    labels = reorder(whole_labels(volume.array), volume.geometry, geometry)
    if unknown := sorted(set(ignored) & set(np.unique(labels).tolist())):
        raise DatasetError(
            f"its label map has voxels of label {unknown[0]}, of which nothing is known (ignore); give them a label"
        )
    masks = {name: labels == number for number, name in names.items()}
    return {name: mask for name, mask in masks.items() if mask.any()}


def _read_segment(path: Path, number: int, geometry: Geometry) -> Bools:
    from sixpoint.io.dicom.segmentations import read_segment

    voxels, grid = read_segment(path, path, number)
    mapped = map_grid(grid, geometry)
    if mapped is None:
        raise ValueError("lies on another grid than the image")
    turned, (x, y, z) = mapped.apply(voxels, (0, 0, 0))
    result = np.zeros(geometry.shape, np.bool_)
    depth, height, width = turned.shape
    if (
        min(x, y, z) < 0
        or x + width > geometry.size[0]
        or y + height > geometry.size[1]
        or z + depth > geometry.size[2]
    ):
        raise ValueError("has slices that the image lacks")
    result[z : z + depth, y : y + height, x : x + width] = turned
    return result
