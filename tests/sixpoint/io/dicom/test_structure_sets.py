"""RTSTRUCT as a mask: the voxels in the contours of one ROI, on the grid of the image."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.uid import ImplicitVRLittleEndian, RTStructureSetStorage

from sixpoint.cli.prompts import place_masks, read_prompts
from sixpoint.errors import PromptError, VolumeError
from sixpoint.mask import pack, unpack
from sixpoint.masks.objects import LabelledObject
from sixpoint.prompts import InitialMask, Scribble
from sixpoint.volume import Volume
from tests.sixpoint.geometries import reordered
from tests.sixpoint.io.dicom.dicom_files import ORIGIN, SPACING, header, write_series
from tests.sixpoint.io.dicom.output.saving import LIVER, read_back, save

Ring = Sequence[tuple[float, float, float]]


def square(x: float, y: float, z: float, half: float) -> Ring:
    """A square round a voxel (x, y, z), in voxels."""
    return [(x + half * a, y + half * b, z) for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]


def write_contours(
    path: Path, rois: dict[int, tuple[str, Sequence[Ring]]], *, kind: str = "CLOSED_PLANAR", explicit: bool = False
) -> Path:
    """Write rings in voxels of the series as ROIs by number, as another program might."""
    made = header(RTStructureSetStorage)
    made.Modality = "RTSTRUCT"
    if not explicit:
        made.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    made.StructureSetROISequence, made.ROIContourSequence = [], []
    for number, (name, rings) in rois.items():
        roi, contours = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName = number, name
        contours.ReferencedROINumber, contours.ContourSequence = number, []
        for ring in rings:
            item = Dataset()
            item.ContourGeometricType, item.NumberOfContourPoints = kind, len(ring)
            points = np.array(ring, float) * SPACING + ORIGIN
            item.ContourData = [f"{value:.3f}" for value in points.reshape(-1)]
            contours.ContourSequence.append(item)
        made.StructureSetROISequence.append(roi)
        made.ROIContourSequence.append(contours)
    made.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture
def series(tmp_path: Path) -> Path:
    return write_series(tmp_path / "series")


@pytest.mark.parametrize("explicit", [False, True])
def test_the_voxels_whose_centres_lie_inside_are_the_mask(tmp_path: Path, series: Path, explicit: bool) -> None:
    rings = [square(4, 4, 2, 1.6), square(4, 4, 3, 0.4), square(4, 4, 5, 2.2), square(4, 4, 5, 1.2)]
    path = write_contours(tmp_path / "rt.dcm", {3: ("Liver", rings)}, explicit=explicit)
    expected = np.zeros(LIVER.shape, bool)
    expected[2, 3:6, 3:6] = True
    expected[3, 4, 4] = True
    expected[5, 2:7, 2:7] = True
    expected[5, 3:6, 3:6] = False
    for label in (None, 3, "liver"):
        assert np.array_equal(read_back(path, series, label), expected)


def test_the_mask_of_the_command_line_is_put_on_the_image(tmp_path: Path, series: Path) -> None:
    save(tmp_path / "rt.dcm", series, [LabelledObject(2, "Left kidney", LIVER)], kind="rtstruct")
    volume = Volume.read(series)
    _, geometry = reordered(volume.array, volume.geometry, (1, 2, 0), (True, False, True))
    expected, _ = reordered(LIVER, volume.geometry, (1, 2, 0), (True, False, True))
    text = f"{tmp_path / 'rt.dcm'}:left kidney"
    prompts = read_prompts(points="", points_file=None, box="", mask=text, clicks=None, frame="")
    (mask,) = place_masks(prompts, geometry)
    assert isinstance(mask, InitialMask)
    assert np.array_equal(unpack(mask.packed, geometry.size), expected)


def test_a_mask_of_contours_has_no_voxels_before_it_is_on_an_image(tmp_path: Path, series: Path) -> None:
    path = write_contours(tmp_path / "rt.dcm", {1: ("a", [square(4, 4, 3, 2.2)])})
    mask, geometry = InitialMask.read(path), Volume.read(series).geometry
    with pytest.raises(PromptError, match=r"contours have no voxels yet; .* InitialMask\.on_grid"):
        mask.to_index(geometry)
    placed = mask.on_grid(geometry)
    assert placed.packed.voxel_count == 25
    assert placed.on_grid(geometry) is placed


def test_a_folder_may_hold_the_file_beside_its_image(tmp_path: Path, series: Path) -> None:
    write_contours(series / "rt.dcm", {1: ("a", [square(4, 4, 3, 2.2)])})
    assert np.count_nonzero(read_back(series, series)) == 25


def test_several_rois_need_a_choice(tmp_path: Path) -> None:
    rings = [square(4, 4, 3, 2.2)]
    path = write_contours(tmp_path / "rt.dcm", {1: ("Liver", rings), 5: ("Tumour", rings), 6: ("tumour", rings)})
    with pytest.raises(VolumeError, match=r"3 such ROIs: 1 \(Liver\), 5 \(Tumour\), 6 \(tumour\); choose one"):
        InitialMask.read(path)
    with pytest.raises(VolumeError, match="2 such ROIs"):
        InitialMask.read(path, label="TUMOUR")
    for label in (2, "spleen"):
        with pytest.raises(VolumeError, match=rf"no ROI {label!r}; it has 1 \(Liver\)"):
            InitialMask.read(path, label=label)


def test_what_cannot_be_a_mask_is_refused(tmp_path: Path, series: Path) -> None:
    points = write_contours(tmp_path / "points.dcm", {1: ("isocentre", [[(4, 4, 3)]])}, kind="POINT")
    with pytest.raises(VolumeError, match="no closed contour of ROI 1"):
        InitialMask.read(points)
    path = write_contours(tmp_path / "rt.dcm", {1: ("a", [square(4.5, 4.5, 3, 0.3)])})
    geometry = Volume.read(series).geometry
    with pytest.raises(PromptError, match="hold the centre of no voxel"):
        InitialMask.read(path).on_grid(geometry)
    between = write_contours(tmp_path / "between.dcm", {1: ("a", [square(4, 4, 3.4, 2)])})
    with pytest.raises(PromptError, match="do not lie in slices of the image"):
        InitialMask.read(between).on_grid(geometry)
    beyond = write_contours(tmp_path / "beyond.dcm", {1: ("a", [square(4, 4, 30, 2)])})
    with pytest.raises(PromptError, match="outside the image"):
        InitialMask.read(beyond).on_grid(geometry, resample=True)
    with pytest.raises(VolumeError, match="contours, which have no probabilities"):
        InitialMask.read(path, threshold=0.5)
    with pytest.raises(VolumeError, match=r"contours \(RTSTRUCT\) are read as --mask"):
        Volume.read(path)


def test_a_scribble_of_contours_is_refused(tmp_path: Path) -> None:
    path = write_contours(tmp_path / "rt.dcm", {1: ("a", [square(4, 4, 3, 2.2)])})
    with pytest.raises(VolumeError, match="holds contours, which have no voxels of their own"):
        Scribble.read(path)


def test_of_two_files_none_is_chosen(tmp_path: Path, series: Path) -> None:
    (tmp_path / "masks").mkdir()
    path = write_contours(tmp_path / "masks" / "a.dcm", {1: ("a", [square(4, 4, 3, 2)])})
    shutil.copyfile(path, tmp_path / "masks" / "b.dcm")
    with pytest.raises(VolumeError, match="holds 2 RTSTRUCT files; give one file"):
        InitialMask.read(tmp_path / "masks")
    save(tmp_path / "masks" / "b.dcm", series, [LabelledObject(1, "", LIVER)])
    with pytest.raises(VolumeError, match="holds a DICOM segmentation and an RTSTRUCT; give one file"):
        InitialMask.read(tmp_path / "masks")


@pytest.mark.parametrize("data", [["1", "2"], ["1", "x", "3"], ["1", "nan", "3"], []])
def test_damaged_contours_are_refused_without_the_words_of_the_file(tmp_path: Path, data: list[str]) -> None:
    path = write_contours(tmp_path / "rt.dcm", {1: ("a", [square(4, 4, 3, 2)])})
    made = pydicom.dcmread(path)
    item = made.ROIContourSequence[0].ContourSequence[0]
    del item.ContourData
    item.add_new(0x30060050, "LO", data)
    made.save_as(path)
    with pytest.raises(VolumeError, match="cannot be read as RTSTRUCT: it is damaged"):
        InitialMask.read(path)


@pytest.mark.parametrize("seed", range(60))
def test_any_damage_is_an_error_in_words(tmp_path: Path, seed: int) -> None:
    path, rng = write_contours(tmp_path / "rt.dcm", {1: ("a", [square(4, 4, 3, 2)])}), np.random.default_rng(seed)
    content = bytearray(path.read_bytes())
    for place in rng.integers(132, len(content), rng.integers(1, 8)):
        content[place] = rng.integers(256)
    path.write_bytes(bytes(content[: rng.integers(200, len(content) + 1)] if seed % 3 else content))
    geometry = Volume.read(write_series(tmp_path / "series")).geometry
    try:
        placed = InitialMask.read(path).on_grid(geometry)
    except (VolumeError, PromptError):
        return
    assert placed == InitialMask(pack(unpack(placed.packed, geometry.size).view(bool), (0, 0, 0)), geometry)
