"""DICOM masks as other programs read them: highdicom, and dcmqi."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import highdicom
import numpy as np
import pytest

from sixpoint._typing import Bools
from sixpoint.geometry import Geometry
from sixpoint.masks.regridding import map_grid
from sixpoint.volume import Volume

__all__ = ["program", "read_by_dcmqi", "read_by_highdicom"]


def program(name: str, package: str) -> str:
    """The path of a program that may be installed beside Python, or anywhere; without it, the test is skipped."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if not found:
        pytest.skip(f"{name} is not installed ({package})")
    return found


def read_by_highdicom(path: Path, geometry: Geometry) -> dict[str, Bools]:
    """Masks [z, y, x] on an image's grid, by the name of their label."""
    segmentation = highdicom.seg.segread(path)
    masks = {}
    # A LABELMAP describes its background, too, as no segment of these.
    for number in segmentation.segment_numbers:
        volume = segmentation.get_volume(segment_numbers=[number], allow_missing_positions=True)
        slices, rows, columns = volume.spatial_shape
        grid = Geometry(
            (columns, rows, slices),
            (volume.spacing[2], volume.spacing[1], volume.spacing[0]),
            (volume.position[0], volume.position[1], volume.position[2]),
            tuple(np.asarray(volume.direction)[:, ::-1].reshape(-1).tolist()),
        )
        label = segmentation.get_segment_description(number).segment_label
        masks[label] = _on_image(volume.array[..., 0] > 0, grid, geometry)
    return masks


def read_by_dcmqi(path: Path, geometry: Geometry, *, folder: Path) -> dict[str, Bools]:
    """As by highdicom; the program writes its files to a folder."""
    convert = program("segimage2itkimage", "pip install dcmqi")
    arguments = ("--outputDirectory", folder, "--outputType", "nrrd", "--prefix", "out")
    subprocess.run([convert, "--inputDICOM", path, *arguments], check=True, capture_output=True)
    said = json.loads((folder / "out-meta.json").read_text(encoding="utf-8"))
    masks = {}
    for group, segments in enumerate(said["segmentAttributes"], 1):
        volume = Volume.read(folder / f"out-{group}.nrrd")
        for segment in segments:
            voxels = volume.array == segment["labelID"]
            masks[segment["SegmentLabel"]] = _on_image(voxels, volume.geometry, geometry)
    return masks


def _on_image(voxels: Bools, grid: Geometry, geometry: Geometry) -> Bools:
    """Voxels of another grid in the image's, by exchange of axes alone."""
    change = map_grid(grid, geometry)
    assert change
    part, (x, y, z) = change.apply(voxels, (0, 0, 0))
    result = np.zeros(geometry.shape, bool)
    result[z : z + part.shape[0], y : y + part.shape[1], x : x + part.shape[2]] = part
    return result
