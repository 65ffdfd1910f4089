"""Commands that write DICOM: -o mask.dcm, --dicom, --source and --creator."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pydicom
import pytest

from sixpoint.volume import Volume
from tests.sixpoint.cli.command_line import BOX, Run, plain
from tests.sixpoint.client.fake_gateway import ball
from tests.sixpoint.client.session_gateway import SessionGateway
from tests.sixpoint.io.dicom.dicom_files import removing, write_series
from tests.sixpoint.io.dicom.output.saving import read_back
from tests.support.images import noisy_volume


@pytest.fixture
def series(tmp_path: Path) -> Path:
    return write_series(tmp_path / "series", noisy_volume().array)


@pytest.mark.parametrize("kind", ["", "seg", "labelmap", "rtstruct"])
def test_a_mask_of_a_series_is_written_as_dicom(
    tmp_path: Path, series: Path, run: Run, gateway: SessionGateway, kind: str
) -> None:
    options = ("--dicom", kind) if kind else ()
    code, out, err = run(
        "annotate", series, "-b", BOX, "--name", "Spleen", "-o", tmp_path / "m.dcm", "-s", gateway.address, *options,
        "--creator", "Doe^John", "--json",
    )  # fmt: skip
    assert code == 0, err
    assert json.loads(out)["written"] == [str(tmp_path / "m.dcm")]
    assert np.array_equal(read_back(tmp_path / "m.dcm", series, "Spleen"), ball(5))
    made = pydicom.dcmread(tmp_path / "m.dcm")
    assert made.Modality == ("RTSTRUCT" if kind == "rtstruct" else "SEG")
    assert (made.OperatorsName if kind == "rtstruct" else made.ContentCreatorName) == "Doe^John"


def test_the_labels_of_a_segmentation_are_written_as_dicom(
    tmp_path: Path, series: Path, run: Run, gateway: SessionGateway
) -> None:
    code, _, err = run("segment", series, "-m", "m", "-o", tmp_path / "m.dcm", "-s", gateway.address)
    assert code == 0, err
    assert np.array_equal(read_back(tmp_path / "m.dcm", series, "anterior"), ball(4))


def test_a_session_without_its_image_asks_for_its_dicom_files(
    tmp_path: Path, series: Path, run: Run, gateway: SessionGateway
) -> None:
    code, _, err = run("resume", "s1", "-s", gateway.address, "-o", tmp_path / "m.dcm")
    assert code == 3
    assert "was not read from one; name the folder of its DICOM files (--source FOLDER" in plain(err)
    assert not gateway.calls


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-o", "m.nii.gz", "--dicom", "seg"), "is not written as DICOM"),
        (("-o", "m.dcm", "--dicom", "sr"), "unknown kind of DICOM file 'sr'"),
        (("-o", "m.dcm", "--source", "nowhere"), "the source nowhere is no DICOM file or folder"),
    ],
)
def test_options_that_do_not_fit_are_refused_before_anything_is_sent(
    series: Path, run: Run, gateway: SessionGateway, arguments: tuple[str, ...], message: str
) -> None:
    code, _, err = run("annotate", series, "-b", BOX, "-s", gateway.address, *arguments)
    assert code == 3
    assert message in plain(err)
    assert not gateway.calls


def test_options_without_an_output_are_a_usage_error(series: Path, run: Run, gateway: SessionGateway) -> None:
    code, _, err = run("resume", "s1", "--source", series, "-s", gateway.address)
    assert code == 2
    assert "--dicom, --source and --creator need --output" in plain(err)


def test_an_image_to_which_nothing_can_refer_is_refused_before_anything_is_sent(
    tmp_path: Path, run: Run, gateway: SessionGateway
) -> None:
    series = write_series(tmp_path / "series", noisy_volume().array, edit=removing("FrameOfReferenceUID"))
    code, _, err = run("annotate", series, "-b", BOX, "-o", tmp_path / "m.dcm", "-s", gateway.address)
    assert code == 3
    assert "FrameOfReferenceUID is missing or empty" in plain(err)
    Volume.read(series).write(tmp_path / "image.mha")
    code, _, err = run("annotate", tmp_path / "image.mha", "-b", BOX, "-o", tmp_path / "m.dcm", "-s", gateway.address)
    assert code == 3
    assert "this image was not read from one" in plain(err)
    assert not gateway.calls


def test_a_slice_of_the_image_is_no_output(series: Path, run: Run, gateway: SessionGateway) -> None:
    file = sorted(series.iterdir())[0]
    before = file.read_bytes()
    code, _, err = run("annotate", series, "-b", BOX, "-o", file, "-s", gateway.address)
    assert code == 3
    assert "would overwrite the input" in plain(err)
    assert file.read_bytes() == before
