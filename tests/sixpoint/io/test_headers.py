"""What a header lacks is never invented: each file is read right, or refused with what to do."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from sixpoint.errors import VolumeError
from sixpoint.geometry import Geometry
from sixpoint.mask import Mask
from sixpoint.volume import Volume, check_voxels

SIZE, SPACING, ORIGIN = (10, 9, 8), (0.8, 1.1, 2.5), (-17.0, 23.0, -61.0)
VOXELS = np.random.default_rng(3).integers(-50, 300, SIZE[::-1]).astype(np.int16)
AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0]) @ [[0.8, 0, 0, -17], [0, 1.1, 0, 23], [0, 0, 2.5, -61], [0, 0, 0, 1]]
NAN, INF = float("nan"), float("inf")


def nifti(path: Path, *, qform: int = 1, sform: int = 1, array: Any = VOXELS, affine: Any = AFFINE) -> Path:
    image = nibabel.Nifti1Image(array.T, affine)
    image.set_qform(affine, qform)
    image.set_sform(affine, sform)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
    return path


def patched(path: Path, offset: int, form: str, *values: float) -> Path:
    """A NIfTI file with other numbers at this offset of its header."""
    content = bytearray(path.read_bytes())
    struct.pack_into(f"<{form}", content, offset, *values)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("codes", [(1, 0), (0, 1), (1, 1), (0, 0)])
@pytest.mark.parametrize("value", [0, -2.5, NAN, INF])
@pytest.mark.parametrize("axis", [1, 2, 3])
def test_a_spacing_that_is_none_is_refused(tmp_path: Path, codes: tuple[int, int], value: float, axis: int) -> None:
    path = patched(nifti(tmp_path / "x.nii", qform=codes[0], sform=codes[1]), 76 + 4 * axis, "f", value)
    with pytest.raises(
        VolumeError, match=r"x\.nii: its header gives the spacing \(pixdim\) .*, expected numbers above 0"
    ):
        Volume.read(path)


@pytest.mark.parametrize(
    ("offset", "value", "complaint"),
    [
        (256, NAN, "the quaternion nan, "),
        (260, 1.5, "the quaternion 0, 1.5"),
        (268, NAN, r"the position \(qoffset\) nan"),
        (276, INF, r"the position \(qoffset\) .*inf"),
        (76, NAN, r"sign \(pixdim\[0\]\) nan"),
        (76, 0.5, r"sign \(pixdim\[0\]\) 0.5"),
    ],
)
def test_a_damaged_qform_is_refused_where_there_is_no_sform(
    tmp_path: Path, offset: int, value: float, complaint: str
) -> None:
    with pytest.raises(VolumeError, match=complaint):
        Volume.read(patched(nifti(tmp_path / "x.nii", sform=0), offset, "f", value))


def test_a_missing_quaternion_is_refused(tmp_path: Path) -> None:
    path = patched(nifti(tmp_path / "x.nii", sform=0), 256, "6f", *[NAN] * 6)
    with pytest.raises(VolumeError, match="the quaternion nan, nan, nan, expected a rotation"):
        Volume.read(path)


@pytest.mark.parametrize(
    ("offset", "form", "values", "complaint"),
    [
        (280, "f", (NAN,), "the sform nan"),
        (252, "h", (-1,), "the codes of qform and sform -1 and 1"),
        (123, "B", (7,), r"the unit of length \(xyzt_units\) 7"),
        (108, "f", (0,), r"first voxel at byte 0 \(vox_offset\)"),
        (108, "f", (348,), "first voxel at byte 348"),
        (108, "f", (352.5,), "first voxel at byte 352.5"),
        (108, "f", (NAN,), "first voxel at byte nan"),
        (112, "2f", (INF, 0), "slope of inf"),
        (112, "2f", (1, NAN), "intercept of nan"),
        (40, "8h", (5, 10, 9, 1, 1, 3, 1, 1), "expected one number per voxel, got 3"),
        (40, "8h", (4, 10, 9, 1, 8, 1, 1, 1), "a 4D one of size .*a 2D image over time"),
        (40, "8h", (4, 10, 3, 3, 8, 1, 1, 1), "a 4D one of size .*take one point in time"),
        (40, "8h", (2, 10, 9, 1, 1, 1, 1, 1), "expected a 3D image, got a 2D one"),
        (40, "8h", (9, 10, 9, 8, 1, 1, 1, 1), "its header is damaged"),
        (40, "8h", (3, 10, -9, 8, 1, 1, 1, 1), "its header is damaged"),
        (70, "h", (128,), "expected one number per voxel, got 3, a colour"),
        (70, "h", (1,), "got one bit"),
        (70, "h", (1536,), "got one of 128 bits"),
        (70, "h", (9,), "the unknown type 9"),
        (344, "4s", (b"ni1\0",), r"whose voxels are in an \.img file"),
        (344, "4s", (b"abcd",), "that of another format or damaged"),
    ],
)
def test_a_header_that_cannot_be_relied_on_is_refused(
    tmp_path: Path, offset: int, form: str, values: Any, complaint: str
) -> None:
    with pytest.raises(VolumeError, match=rf"x\.nii.*{complaint}"):
        Volume.read(patched(nifti(tmp_path / "x.nii"), offset, form, *values))


@pytest.mark.parametrize(
    ("affine", "complaint"),
    [
        (np.diag([1e30, 1, 1, 1]), "spacing makes an image larger"),
        (np.diag([1e-9, 1, 1, 1]), "spacing must be at least"),
        (AFFINE + np.outer([1, 0, 0, 0], [0, 0, 0, 1e7]), "origin puts voxels more than"),
    ],
    ids=["huge", "tiny", "far"],
)
def test_a_nifti_file_of_impossible_positions_is_refused(tmp_path: Path, affine: Any, complaint: str) -> None:
    with pytest.raises(VolumeError, match=rf"x\.nii.*geometry: {complaint}"):
        Volume.read(nifti(tmp_path / "x.nii", qform=0, affine=affine))


@pytest.mark.parametrize("scaling", [(0, 7), (0, NAN), (NAN, 7), (NAN, NAN)])
def test_no_slope_means_the_stored_numbers(tmp_path: Path, scaling: tuple[float, float]) -> None:
    volume = Volume.read(patched(nifti(tmp_path / "x.nii"), 112, "2f", *scaling))
    assert volume.array.dtype == np.int16
    assert np.array_equal(volume.array, VOXELS)


@pytest.mark.parametrize("shear", [2e-4, 5e-4])
def test_a_sform_sheared_by_a_small_part_of_a_voxel_is_read(tmp_path: Path, shear: float) -> None:
    affine = AFFINE.copy()
    affine[0, 1] += shear * 1.1
    path = nifti(tmp_path / "x.nii", qform=0, affine=affine)
    volume = Volume.read(path)
    corner = np.array([9, 8, 7])
    place = volume.geometry.index_to_point([corner])[0] * [-1, -1, 1]
    assert np.linalg.norm(place - (affine @ [*corner, 1])[:3]) < 0.01
    Mask(np.ones(VOXELS.shape, np.uint8), volume.geometry).save(tmp_path / "mask.nii.gz")
    assert np.array_equal(nibabel.load(tmp_path / "mask.nii.gz").affine, nibabel.load(path).affine)  # type: ignore[attr-defined]


def test_scales_that_disagree_by_less_than_half_a_voxel_stay_as_they_are_in_the_mask(tmp_path: Path) -> None:
    affine = AFFINE.copy()
    affine[:3, :3] *= 1.003
    path = patched(nifti(tmp_path / "x.nii", qform=0, sform=2, affine=affine), 80, "3f", *SPACING)
    Mask(np.ones(VOXELS.shape, np.uint8), Volume.read(path).geometry).save(tmp_path / "mask.nii")
    image: Any = nibabel.load(path)
    mask: Any = nibabel.load(tmp_path / "mask.nii")
    assert np.array_equal(mask.affine, image.affine)
    assert mask.header["sform_code"] == 2
    assert np.array_equal(mask.header["pixdim"][1:4], image.header["pixdim"][1:4])


def test_a_geometry_that_was_changed_gets_no_old_header(tmp_path: Path) -> None:
    geometry = Volume.read(nifti(tmp_path / "x.nii", qform=0, sform=0)).geometry
    moved = Geometry(geometry.size, (1, 1, 1), (5, 6, 7), geometry.direction, geometry.nifti)
    Mask(np.ones(VOXELS.shape, np.uint8), moved).save(tmp_path / "mask.nii")
    assert Volume.read(tmp_path / "mask.nii").geometry.origin == (5, 6, 7)


def test_an_image_without_a_place_or_unit_says_so(tmp_path: Path) -> None:
    assert Volume.read(nifti(tmp_path / "x.nii")).notes == ()
    (note,) = Volume.read(nifti(tmp_path / "y.nii", qform=0, sform=0)).notes
    assert note.startswith(f"{tmp_path}/y.nii: its header gives no position in the patient")


@pytest.mark.parametrize(("factor", "length"), [(0.001, "0.02 mm"), (1, ""), (1000, "2e+04 mm")])
def test_a_header_that_names_no_unit_says_so_where_millimetres_are_implausible(
    tmp_path: Path, factor: float, length: str
) -> None:
    affine = np.diag([factor] * 3 + [1]) @ AFFINE
    paths = [patched(nifti(tmp_path / "x.nii", affine=affine), 123, "B", 0)]
    paths += [nrrd(tmp_path / "x.nrrd", factor=factor)]
    paths += [metaimage(tmp_path / "x.mha", ElementSpacing=" ".join(repr(step * factor) for step in SPACING))]
    for path in paths:
        expected = f"{path}: its header names no unit of length; taken as mm, the image is {length} long"
        assert Volume.read(path).notes == ((expected,) if length else ())


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("value", [NAN, INF])
def test_voxels_that_are_no_numbers_are_refused_in_every_format(tmp_path: Path, suffix: str, value: float) -> None:
    array = VOXELS.astype(np.float32)
    array[:, :3] = value
    Volume(array, Geometry(SIZE)).write(tmp_path / f"x{suffix}")
    with pytest.raises(VolumeError, match="240 voxels that are NaN or infinite"):
        check_voxels(Volume.read(tmp_path / f"x{suffix}").array)


def test_compression_contrary_to_the_name_is_said(tmp_path: Path) -> None:
    plain = nifti(tmp_path / "x.nii").read_bytes()
    (tmp_path / "plain.nii.gz").write_bytes(plain)
    (tmp_path / "packed.nii").write_bytes(gzip.compress(plain))
    (tmp_path / "more.nii.gz").write_bytes(gzip.compress(plain) + b"garbage!")
    for name, complaint in [
        ("plain.nii.gz", r"is not compressed by gzip, contrary to its name; rename it to plain\.nii$"),
        ("packed.nii", r"is compressed by gzip, contrary to its name; rename it to packed\.nii\.gz$"),
        ("more.nii.gz", r"other data follow its compressed data; .*gzip -dc"),
    ]:
        with pytest.raises(VolumeError, match=rf"{name}.*{complaint}"):
            Volume.read(tmp_path / name)


# NRRD and MetaImage


def nrrd(path: Path, *lines: str, factor: float = 1, space: str = "space: left-posterior-superior") -> Path:
    directions = " ".join(
        "(" + ",".join(repr(SPACING[axis] * factor * (axis == other)) for other in range(3)) + ")" for axis in range(3)
    )
    origin = ",".join(repr(value * factor) for value in ORIGIN)
    place = [space, f"space directions: {directions}", f"space origin: ({origin})"] if space else []
    header = ["NRRD0005", "type: short", "dimension: 3", "sizes: 10 9 8", "endian: little", *place, *lines]
    path.write_bytes("\n".join([*header, "encoding: raw", "", ""]).encode() + VOXELS.astype("<i2").tobytes())
    return path


@pytest.mark.parametrize(
    ("unit", "factor"), [("mm", 1), ("cm", 0.1), ("um", 1000), ("µm", 1000), ("microns", 1000), ("m", 1e-3), ("", 1)]
)
def test_units_of_nrrd_are_converted(tmp_path: Path, unit: str, factor: float) -> None:
    volume = Volume.read(nrrd(tmp_path / "x.nrrd", f'space units: "{unit}" "{unit}" "{unit}"', factor=factor))
    np.testing.assert_allclose(volume.geometry.spacing, SPACING)
    np.testing.assert_allclose(volume.geometry.origin, ORIGIN)
    assert np.array_equal(volume.array, VOXELS)


@pytest.mark.parametrize(
    ("lines", "space", "complaint"),
    [
        (['space units: "mm" "mm" "cm"'], True, r"lengths in cm, mm \(space units\), expected one unit"),
        (['space units: "pixel" "pixel" "pixel"'], True, "lengths in pixel"),
        (["kinds: domain domain time"], True, "one of its axes is time"),
        (["kinds: vector domain domain"], True, "expected one number per voxel, got 10"),
        ([], False, "gives no spacing of the voxels .spacings., expected three .*--spacing X,Y,Z"),
        (["spacings: 1 0 2"], False, r"the spacing 1 0 2 \(spacings\), expected three numbers above 0"),
        (["spacings: 1 NaN 2"], False, "the spacing 1 NaN 2"),
        (["spacings: 1 2 3", 'units: "mm" "mm" "s"'], False, r"lengths in mm, s \(units\)"),
        (["spacings: 1 1e300 2"], False, "geometry: spacing makes an image larger than 1e\\+06 mm"),
        (["spacings: 1 1e-310 2"], False, "geometry: spacing must be at least 1e-06 mm"),
        (["data file: none.raw"], True, "its voxels are in 'none.raw', which is missing"),
    ],
)
def test_a_nrrd_header_that_cannot_be_relied_on_is_refused(
    tmp_path: Path, lines: list[str], space: bool, complaint: str
) -> None:
    path = nrrd(tmp_path / "x.nrrd", *lines, space="space: left-posterior-superior" if space else "")
    with pytest.raises(VolumeError, match=rf"x\.nrrd.*{complaint}"):
        Volume.read(path)


@pytest.mark.parametrize("encoding", ["bzip2", "zrl"])
def test_an_encoding_that_cannot_be_read_is_named(tmp_path: Path, encoding: str) -> None:
    path = nrrd(tmp_path / "x.nrrd")
    path.write_bytes(path.read_bytes().replace(b"encoding: raw", f"encoding: {encoding}".encode()))
    with pytest.raises(VolumeError, match=rf"x\.nrrd: its voxels are stored as {encoding} .*write them with gzip"):
        Volume.read(path)


def test_a_nrrd_image_without_a_place_says_so(tmp_path: Path) -> None:
    assert Volume.read(nrrd(tmp_path / "x.nrrd")).notes == ()
    assert "no position" in Volume.read(nrrd(tmp_path / "x.nrrd", "spacings: 1 2 3", space="")).notes[0]
    assert "how its axes lie" in Volume.read(nrrd(tmp_path / "x.nrrd", space="space dimension: 3")).notes[0]


def metaimage(path: Path, **fields: str) -> Path:
    header = {"ObjectType": "Image", "NDims": "3", "DimSize": "10 9 8", "ElementType": "MET_SHORT"}
    header |= {"ElementSpacing": "0.8 1.1 2.5", "Offset": "-17 23 -61"}
    header |= fields | {"ElementDataFile": "LOCAL"}
    text = "".join(f"{name} = {value}\n" for name, value in header.items() if value)
    path.write_bytes(text.encode() + VOXELS.astype("<i2").tobytes())
    return path


@pytest.mark.parametrize(("unit", "factor"), [("mm", 1), ("um", 0.001), ("cm", 10), ("?", 1), ("", 1)])
def test_units_of_metaimage_are_converted(tmp_path: Path, unit: str, factor: float) -> None:
    geometry = Volume.read(metaimage(tmp_path / "x.mha", DistanceUnits=unit)).geometry
    np.testing.assert_allclose(geometry.spacing, np.array(SPACING) * factor)
    np.testing.assert_allclose(geometry.origin, np.array(ORIGIN) * factor)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"ElementSpacing": ""}, "gives no spacing of the voxels .ElementSpacing., expected three .*--spacing X,Y,Z"),
        (
            {"ElementSpacing": "", "ElementSize": "1 1 1"},
            "gives no spacing of the voxels .ElementSpacing., expected three .*--spacing X,Y,Z",
        ),
        ({"ElementSpacing": "1 0 1"}, "the spacing 1 0 1"),
        ({"ElementSpacing": "1 -1 1"}, "the spacing 1 -1 1"),
        ({"ElementSpacing": "1 1"}, "the spacing 1 1"),
        ({"ElementNumberOfChannels": "3"}, "expected one number per voxel, got 3"),
        ({"NDims": "2"}, "expected a 3D image, got a 2D one"),
        ({"DistanceUnits": "furlong"}, "lengths in furlong"),
        ({"TransformMatrix": "1 0 0 0.5 1 0 0 0 1"}, "orthogonal unit vectors"),
    ],
)
def test_a_metaimage_header_that_cannot_be_relied_on_is_refused(
    tmp_path: Path, fields: dict[str, str], complaint: str
) -> None:
    with pytest.raises(VolumeError, match=rf"x\.mha.*{complaint}"):
        Volume.read(metaimage(tmp_path / "x.mha", **fields))


def test_a_metaimage_without_a_place_says_so(tmp_path: Path) -> None:
    assert Volume.read(metaimage(tmp_path / "x.mha")).notes == ()
    assert "no position" in Volume.read(metaimage(tmp_path / "x.mha", Offset="")).notes[0]
