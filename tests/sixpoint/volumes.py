"""Volumes and files that several tests use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from sixpoint.geometry import Geometry
from sixpoint.volume import Volume
from tests.sixpoint.geometries import rotation

FORMATS = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
OBLIQUE = Geometry(
    (4, 5, 6), (0.7, 0.9, 3.3), (-120.5, 33.25, 812.125), tuple(rotation(0.8, 0.2, -0.5, 0.1).reshape(-1))
)


def noise(geometry: Geometry, dtype: str = "int16") -> npt.NDArray[Any]:
    return np.random.default_rng(0).integers(0, 100, geometry.shape).astype(dtype)


def on_unit_grid(array: npt.NDArray[Any]) -> Volume:
    return Volume(array, Geometry(array.shape[::-1]))


def written(path: Path, array: npt.NDArray[Any], *, components: bool = False) -> Path:
    """A file that SimpleITK wrote, not sixpoint; uncompressed."""
    sitk.WriteImage(sitk.GetImageFromArray(array, isVector=components), str(path), False)
    return path
