"""Small images made for tests."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np

from sixpoint.geometry import Geometry
from sixpoint.volume import Volume

__all__ = ["noisy_volume", "write_without_position"]


def noisy_volume(size: tuple[int, int, int] = (40, 36, 32), *, dtype: str = "int16", spacing: float = 1.0) -> Volume:
    """A small image, (x, y, z) voxels of ``spacing`` mm, of noise."""
    x, y, z = size
    values = np.random.default_rng(0).normal(100, 20, (z, y, x)).astype(dtype)
    return Volume(values, Geometry(size=size, spacing=(spacing,) * 3))


def write_without_position(path: Path) -> Path:
    """Write a small NIfTI image whose header gives no position in the patient, and return its path."""
    image = nibabel.Nifti1Image(noisy_volume().array.T, np.eye(4))
    image.set_sform(None, 0)
    image.set_qform(None, 0)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
    return path
