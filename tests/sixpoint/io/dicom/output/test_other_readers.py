"""Other programs read the DICOM files of masks voxel by voxel, and find no error in them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from sixpoint.masks.objects import LabelledObject
from sixpoint.volume import Volume
from tests.sixpoint.io.dicom.dicom_files import write_enhanced, write_series
from tests.sixpoint.io.dicom.output.saving import KIDNEY, LIVER, OVERLAPPING, save
from tests.support.dicom_readers import program, read_by_dcmqi, read_by_highdicom

OBLIQUE = (0.8, 0.36, 0.48, -0.6, 0.48, 0.64)
TWO = (LabelledObject(1, "liver", LIVER), LabelledObject(2, "Left kidney", KIDNEY))


@pytest.fixture(params=["series", "enhanced"])
def image(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "series":
        return write_series(tmp_path / "series", orientation=OBLIQUE)
    order = np.random.default_rng(2).permutation(12).tolist()
    return write_enhanced(tmp_path / "image.dcm", orientation=OBLIQUE, order=order)


@pytest.mark.parametrize("kind", ["seg", "labelmap"])
def test_highdicom(tmp_path: Path, image: Path, kind: str) -> None:
    save(tmp_path / "mask.dcm", image, TWO, kind=kind)
    read = read_by_highdicom(tmp_path / "mask.dcm", Volume.read(image).geometry)
    assert read.keys() == {item.name for item in TWO}
    assert all(np.array_equal(read[item.name], item.voxels) for item in TWO)


@pytest.mark.parametrize("kind", ["seg", "labelmap"])
def test_dcmqi(tmp_path: Path, image: Path, kind: str) -> None:
    objects = (TWO[0], LabelledObject(2, "both", OVERLAPPING)) if kind == "seg" else TWO
    save(tmp_path / "mask.dcm", image, objects, kind=kind)
    read = read_by_dcmqi(tmp_path / "mask.dcm", Volume.read(image).geometry, folder=tmp_path)
    assert read.keys() == {item.name for item in objects}
    assert all(np.array_equal(read[item.name], item.voxels) for item in objects)


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
