"""The labelled images that accuracy is measured on: one case per structure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from sixpoint.volume import Volume

__all__ = ["Case", "all_cases", "ellipsoid"]

FEWEST_VOXELS = 300
"""Structures with fewer voxels are left out: their own labels are uncertain by as much as any method's error."""


@dataclass(frozen=True, eq=False)
class Case:
    """One structure in one image: its group (for means), name, image, and truth (bool [z, y, x])."""

    group: str
    name: str
    image: Volume
    truth: npt.NDArray[np.bool_]


def all_cases(data: Path) -> Iterator[Case]:
    """Every structure of at least 300 voxels in the shared images: the volumes, the sarcomas, the hippocampi."""
    yield from _volumes(data / "volumes")
    for patient in sorted((data / "sarcoma").glob("STS_*")):
        yield from _sarcoma(patient)
    for image in sorted((data / "hippocampus" / "images").glob("*.nii.gz")):
        # Anterior and posterior together: one body, as a person would outline it.
        truth = Volume.read(data / "hippocampus" / "labels" / image.name).array > 0
        yield Case("hippocampus MR", image.name.removesuffix(".nii.gz"), Volume.read(image), truth)


def ellipsoid(points: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """The axis-aligned ellipsoid that fills the points' box to the voxels' faces: what six points give by themselves.

    Args:
        points: Voxel indices (x, y, z), shape [n, 3].
        shape: Of the image, [z, y, x].
    """
    low, high = points.min(axis=0) - 0.5, points.max(axis=0) + 0.5
    centre, half = (low + high) / 2, (high - low) / 2
    z, y, x = (((np.arange(n) - centre[axis]) / half[axis]) ** 2 for n, axis in zip(shape, (2, 1, 0), strict=True))
    inside: npt.NDArray[np.bool_] = z[:, None, None] + y[:, None] + x <= 1
    return inside


def _volumes(folder: Path) -> Iterator[Case]:
    for entry in json.loads((folder / "manifest.json").read_text()):
        image = Volume.read(folder / entry["image"])
        labels = _labels(folder / entry["label"], folder / entry["image"])
        for number, label in entry["labels"].items():
            truth = labels == int(number)
            if np.count_nonzero(truth) >= FEWEST_VOXELS:
                name = label["name"] if label["name"] != "?" else f"label {number}"
                yield Case(entry["id"], name, image, truth)


def _sarcoma(patient: Path) -> Iterator[Case]:
    for modality in ("MR_T1", "PET"):
        image = patient / f"{modality}_image.nii.gz"
        if not image.exists():
            continue
        truth = _labels(patient / f"{modality}_mask.nii.gz", image) > 0
        if np.count_nonzero(truth) >= FEWEST_VOXELS:
            yield Case(f"sarcoma {modality}", patient.name, Volume.read(image), truth)


def _labels(path: Path, image: Path) -> npt.NDArray[Any]:
    """Labels [z, y, x] on the image's grid; some segmentations are stored cropped to what they hold."""
    labels, grid = sitk.ReadImage(str(path)), sitk.ReadImage(str(image))
    return sitk.GetArrayFromImage(sitk.Resample(labels, grid, sitk.Transform(), sitk.sitkNearestNeighbor))
