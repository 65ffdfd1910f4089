"""Headers with any values: an image, or an error in our own words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.uid import MultiFrameGrayscaleWordSecondaryCaptureImageStorage

from sixpoint.errors import VolumeError
from sixpoint.volume import Volume
from tests.sixpoint.io.dicom.dicom_files import VOXELS, write_enhanced, write_series

DECIMALS = st.floats(-1e4, 1e4).map(lambda value: f"{value:.6g}"[:16])
WORDS = st.integers(0, 2**16 - 1)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "BitsAllocated": WORDS,
    "BitsStored": WORDS,
    "Columns": st.integers(0, 100),
    "HighBit": WORDS,
    "ImageOrientationPatient": st.lists(DECIMALS, max_size=7),
    "ImagePositionPatient": st.lists(DECIMALS, max_size=4),
    "InstanceNumber": st.integers(-(2**31), 2**31 - 1),
    "NumberOfFrames": st.integers(-3, 2**31 - 1),
    "PhotometricInterpretation": st.sampled_from(["RGB", "MONOCHROME1", "YBR_FULL", "", "PALETTE COLOR"]),
    "PixelData": st.binary(max_size=200).map(lambda data: data + data),
    "PixelRepresentation": st.integers(0, 3),
    "PixelSpacing": st.lists(DECIMALS, max_size=3),
    "RescaleIntercept": DECIMALS,
    "RescaleSlope": DECIMALS,
    "Rows": st.integers(0, 100),
    "SOPClassUID": st.sampled_from(
        ["", "1.2", MultiFrameGrayscaleWordSecondaryCaptureImageStorage, "1.2.840.10008.5.1.4.1.1.481.2"]
    ),
    "SamplesPerPixel": st.integers(0, 4),
    "SeriesInstanceUID": st.sampled_from(["", "1.2"]),
}


@st.composite
def changes(draw: st.DrawFn) -> dict[str, Any]:
    """Values of some attributes; None to take one away."""
    names = draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=3, unique=True))
    return {name: draw(st.none() | VALUES[name]) for name in names}


def apply(dataset: Dataset, changed: dict[str, Any]) -> None:
    for keyword, value in changed.items():
        if value is None:
            if keyword in dataset:
                delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    if "PixelData" in dataset:
        # pydicom would derive it from attributes that may be gone.
        dataset["PixelData"].VR = "OW"


def check_reading(path: Path) -> None:
    """Read an image: no crash, and an error that names the file and no library."""
    message = ""
    try:
        Volume.read(path)
    except VolumeError as error:
        message = error.message
    assert not any(word in message for word in ("ITK", "itk", "gdcm", "GDCM", "Traceback", "/sixpoint-"))
    assert message.startswith((str(path), "geometry:")) or not message


@pytest.mark.filterwarnings("ignore")
@given(changed=changes(), which=st.integers(0, 3))
def test_a_series_with_any_header_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, changed: dict[str, Any], which: int
) -> None:
    def edit(dataset: Dataset, z: int) -> None:
        if which in (z, 3):
            apply(dataset, changed)

    check_reading(write_series(tmp_path_factory.mktemp("series"), VOXELS[:3], edit=edit))


@pytest.mark.filterwarnings("ignore")
@given(changed=changes(), shared=st.booleans(), frame=st.integers(0, 2), keyword=st.sampled_from(range(3)))
def test_a_multi_frame_file_with_any_header_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, changed: dict[str, Any], shared: bool, frame: int, keyword: int
) -> None:
    def edit(dataset: Dataset) -> None:
        groups = dataset.SharedFunctionalGroupsSequence if shared else dataset.PerFrameFunctionalGroupsSequence
        group = groups[min(frame, len(groups) - 1)]
        sequences = [element.value for element in group]
        apply(sequences[keyword % len(sequences)][0], changed)
        apply(dataset, {name: value for name, value in changed.items() if "Patient" not in name})

    check_reading(write_enhanced(tmp_path_factory.mktemp("enhanced") / "e.dcm", VOXELS[:3], edit=edit))


@pytest.mark.parametrize("seed", range(6))
def test_a_file_with_bytes_changed_anywhere_is_read_or_refused(tmp_path: Path, seed: int) -> None:
    path = write_enhanced(tmp_path / "e.dcm", VOXELS[:3])
    content = path.read_bytes()
    for place in range(132 + seed, len(content), 29):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        check_reading(path)
    for length in range(seed, len(content), 61):
        path.write_bytes(content[:length])
        check_reading(path)
