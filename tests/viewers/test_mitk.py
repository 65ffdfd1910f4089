"""MITK's own reader finds the voxels and names of masks that are saved as DICOM SEG, on the grid of the image."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from sixpoint.geometry import Geometry
from sixpoint.masks.objects import LabelledObject
from sixpoint.masks.regridding import map_grid
from sixpoint.volume import Volume
from tests.sixpoint.io.dicom.dicom_files import write_enhanced, write_series
from tests.sixpoint.io.dicom.output.saving import KIDNEY, LIVER, OVERLAPPING, save
from tests.viewers.support.programs import DRIVERS, fetch_mitk, real_viewer

pytestmark = real_viewer("MITK's reader of DICOM SEG")

OBLIQUE = (0.8, 0.36, 0.48, -0.6, 0.48, 0.64)


@pytest.mark.parametrize("kind", ["seg", "labelmap"])
@pytest.mark.parametrize("enhanced", [False, True])
def test_segmentations_are_read_to_the_voxel(tmp_path: Path, kind: str, enhanced: bool) -> None:
    write = write_enhanced if enhanced else write_series
    image = write(tmp_path / ("image.dcm" if enhanced else "series"), orientation=OBLIQUE)
    second = OVERLAPPING if kind == "seg" else KIDNEY
    expected = {"Liver": LIVER, "Left kidney": second}
    objects = [LabelledObject(number, name, voxels) for number, (name, voxels) in enumerate(expected.items(), 1)]
    save(tmp_path / "mask.dcm", image, objects, kind=kind)
    driver, environment = DRIVERS / "mitk_reader.py", os.environ | {"QT_QPA_PLATFORM": "offscreen"}
    command: list[str | Path] = [fetch_mitk(), driver, tmp_path / "mask.dcm", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    said = json.loads((tmp_path / "labels.json").read_text())
    assert set(said["names"].values()) == set(expected)
    geometry = Volume.read(image).geometry
    for number, name in said["names"].items():
        voxels = np.load(tmp_path / f"{number}.npy")
        grid = Geometry(voxels.shape[::-1], said["spacing"], said["origin"], said["direction"])
        change = map_grid(grid, geometry)
        assert change
        part, (x, y, z) = change.apply(voxels, (0, 0, 0))
        found = np.zeros(geometry.shape, bool)
        found[z : z + part.shape[0], y : y + part.shape[1], x : x + part.shape[2]] = part
        assert np.array_equal(found, expected[name])
