"""Other programs read the DICOM files of masks voxel by voxel, and find no error in them."""

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
from sixpoint.masks.objects import LabelledObject
from sixpoint.masks.regridding import map_grid
from sixpoint.volume import Volume
from tests.sixpoint.io.dicom.dicom_files import write_enhanced, write_series
from tests.sixpoint.io.dicom.output.saving import KIDNEY, LIVER, OVERLAPPING, save

OBLIQUE = (0.8, 0.36, 0.48, -0.6, 0.48, 0.64)
TWO = (LabelledObject(1, "liver", LIVER), LabelledObject(2, "Left kidney", KIDNEY))


def program(name: str, package: str) -> str:
    """The path of a program that may be installed beside Python, or anywhere."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if not found:
        pytest.skip(f"{name} is not installed ({package})")
    return found


def on_image(voxels: Bools, grid: Geometry, image: Path) -> Bools:
    """Voxels of another grid in the image's, by exchange of axes alone."""
    geometry = Volume.read(image).geometry
    change = map_grid(grid, geometry)
    assert change
    part, (x, y, z) = change.apply(voxels, (0, 0, 0))
    result = np.zeros(geometry.shape, bool)
    result[z : z + part.shape[0], y : y + part.shape[1], x : x + part.shape[2]] = part
    return result


@pytest.fixture(params=["series", "enhanced"])
def image(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "series":
        return write_series(tmp_path / "series", orientation=OBLIQUE)
    order = np.random.default_rng(2).permutation(12).tolist()
    return write_enhanced(tmp_path / "image.dcm", orientation=OBLIQUE, order=order)


@pytest.mark.parametrize("kind", ["seg", "labelmap"])
def test_highdicom(tmp_path: Path, image: Path, kind: str) -> None:
    save(tmp_path / "mask.dcm", image, TWO, kind=kind)
    segmentation = highdicom.seg.segread(tmp_path / "mask.dcm")
    for item in TWO:
        volume = segmentation.get_volume(segment_numbers=[item.number], allow_missing_positions=True)
        slices, rows, columns = volume.spatial_shape
        grid = Geometry(
            (columns, rows, slices),
            (volume.spacing[2], volume.spacing[1], volume.spacing[0]),
            (volume.position[0], volume.position[1], volume.position[2]),
            tuple(np.asarray(volume.direction)[:, ::-1].reshape(-1).tolist()),
        )
        assert np.array_equal(on_image(volume.array[..., 0] > 0, grid, image), item.voxels)


@pytest.mark.parametrize("kind", ["seg", "labelmap"])
def test_dcmqi(tmp_path: Path, image: Path, kind: str) -> None:
    convert = program("segimage2itkimage", "pip install dcmqi")
    objects = (TWO[0], LabelledObject(2, "both", OVERLAPPING)) if kind == "seg" else TWO
    save(tmp_path / "mask.dcm", image, objects, kind=kind)
    arguments = ("--outputDirectory", tmp_path, "--outputType", "nrrd", "--prefix", "out")
    subprocess.run([convert, "--inputDICOM", tmp_path / "mask.dcm", *arguments], check=True, capture_output=True)
    said = json.loads((tmp_path / "out-meta.json").read_text(encoding="utf-8"))
    labels = {
        segment["SegmentLabel"]: (group, segment["labelID"])
        for group, segments in enumerate(said["segmentAttributes"], 1)
        for segment in segments
    }
    for item in objects:
        group, number = labels[item.name]
        volume = Volume.read(tmp_path / f"out-{group}.nrrd")
        assert np.array_equal(on_image(volume.array == number, volume.geometry, image), item.voxels)


def test_plastimatch(tmp_path: Path) -> None:
    convert = program("plastimatch", "apt-get install plastimatch")
    series = write_series(tmp_path / "series", orientation=(0.8, 0.6, 0, -0.6, 0.8, 0))
    save(tmp_path / "mask.dcm", series, [TWO[0], LabelledObject(2, "both", OVERLAPPING)], kind="rtstruct")
    arguments = ("--referenced-ct", series, "--output-prefix", tmp_path / "out", "--prefix-format", "nrrd")
    subprocess.run([convert, "convert", "--input", tmp_path / "mask.dcm", *arguments], check=True, capture_output=True)
    for name, voxels in (("liver", LIVER), ("both", OVERLAPPING)):
        assert np.array_equal(Volume.read(tmp_path / "out" / f"{name}.nrrd").array > 0, voxels)


@pytest.mark.parametrize("kind", ["seg", "rtstruct"])
def test_dciodvfy_finds_no_error(tmp_path: Path, image: Path, kind: str) -> None:
    # It knows no LABELMAP: the class is younger.
    check = program("dciodvfy", "apt-get install dicom3tools")
    save(
        tmp_path / "mask.dcm",
        image,
        [*TWO, LabelledObject(3, "", OVERLAPPING, model="m", model_version="1")],
        kind=kind,
    )
    done = subprocess.run([check, tmp_path / "mask.dcm"], check=False, capture_output=True, text=True)
    assert "Segmentation" in done.stderr or "RTStructureSet" in done.stderr
    assert "Error" not in done.stderr + done.stdout
