"""Masks saved as DICOM for small images, and read back by sixpoint itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
from pydicom import Dataset

from sixpoint._typing import Bools
from sixpoint.mask import unpack
from sixpoint.mask_files.dicom import dicom_target, save_dicom
from sixpoint.masks.objects import LabelledObject
from sixpoint.prompts import InitialMask
from sixpoint.volume import Volume
from tests.sixpoint.io.dicom.dicom_files import VOXELS

__all__ = ["KIDNEY", "LIVER", "OVERLAPPING", "read_back", "save"]

LIVER = np.zeros(VOXELS.shape, bool)
LIVER[2:6, 1:7, 2:9] = True
LIVER[3, 3:5, 3:6] = False
LIVER[3, 3, 4] = True
# Empty in between, and an object of a single slice.
LIVER[5] = False
LIVER[7, 8, 0] = True
KIDNEY = np.zeros(VOXELS.shape, bool)
KIDNEY[9, 2:9, :5] = True
OVERLAPPING = KIDNEY | LIVER


def save(
    path: Path, image: Path, objects: Sequence[LabelledObject], *, kind: str = "seg", creator: str = ""
) -> Dataset:
    """Save objects for a DICOM image, and return what is in the file."""
    volume = Volume.read(image)
    target = dicom_target(path, volume.geometry, kind=kind, creator=creator)
    assert target
    save_dicom(objects, volume.geometry, target, digest=volume.digest)
    return pydicom.dcmread(path)


def read_back(path: Path, image: Path, label: int | str | None = None) -> Bools:
    """The mask of a file on the grid of an image."""
    geometry = Volume.read(image).geometry
    mask = InitialMask.read(path, label=label).on_grid(geometry)
    mask.to_index(geometry)
    return unpack(mask.packed, geometry.size).view(np.bool_)
