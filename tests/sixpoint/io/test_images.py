"""Files that contradict themselves, or are damaged where ITK does not look."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import nibabel
import numpy as np
import numpy.typing as npt
import pytest

from sixpoint.errors import VolumeError
from sixpoint.geometry import Geometry
from sixpoint.volume import Volume
from tests.sixpoint.geometries import rotation

Affine = npt.NDArray[np.float64]

SIZE = (14, 15, 16)
SCALES = {"unknown": 1, "mm": 1, "meter": 1e-3, "micron": 1e3}


def affine(*, at: tuple[float, float, float] = (-10, 20, 30)) -> Affine:
    """An oblique affine (RAS, mm), 4 x 4, of spacing 1, 1, 2."""
    found = np.eye(4)
    found[:3, :3] = rotation(0.8, 0.2, -0.5, 0.1) @ np.diag((1, 1, 2))
    found[:3, 3] = at
    return found


def nifti(path: Path, *, sform: Affine | None, qform: Affine | None, code: int = 2, unit: str = "mm") -> Path:
    """A NIfTI file whose header gives these places (RAS, mm); None for one that it does not give."""
    place = sform if sform is not None else qform
    assert place is not None
    scale = np.diag([SCALES[unit]] * 3 + [1])
    image = nibabel.Nifti1Image(np.arange(np.prod(SIZE), dtype=np.int16).reshape(SIZE), scale @ place)
    image.header.set_xyzt_units(unit)
    image.set_sform(None if sform is None else scale @ sform, code if sform is not None else 0)
    image.set_qform(None if qform is None else scale @ qform, 1 if qform is not None else 0)
    nibabel.save(image, path)
    return path


def with_spacing(path: Path, spacing: tuple[float, float, float]) -> Path:
    """A NIfTI file whose pixdim was set by something that did not know of the sform."""
    content = bytearray(path.read_bytes())
    content[80:92] = np.array(spacing, "<f4").tobytes()
    path.write_bytes(content)
    return path


# NIfTI: where its voxels lie


@pytest.mark.parametrize("name", ["image.nii", "image.nii.gz"])
def test_a_nifti_file_whose_sform_and_qform_disagree_is_refused(tmp_path: Path, name: str) -> None:
    path = nifti(tmp_path / name, sform=affine(at=(-10, 20, 30)), qform=affine(at=(-10, 20, 37.5)))
    with pytest.raises(VolumeError, match=r"image\.nii.* 7\.50 mm .*fslorient -copysform2qform.* set_qform"):
        Volume.read(path)


def test_a_nifti_file_whose_sform_and_spacing_disagree_is_refused(tmp_path: Path) -> None:
    path = with_spacing(nifti(tmp_path / "image.nii", sform=affine(), qform=None), (1, 1, 3))
    with pytest.raises(VolumeError, match=r"two positions.* 15\.00 mm "):
        Volume.read(path)


def test_a_nifti_file_with_a_sheared_sform_is_refused(tmp_path: Path) -> None:
    sheared = affine()
    sheared[:3, 1] += 0.3 * sheared[:3, 0]
    with pytest.raises(VolumeError, match=r"two positions.* 4\.20 mm "):
        Volume.read(nifti(tmp_path / "image.nii", sform=sheared, qform=affine()))
    with pytest.raises(VolumeError, match=r"its sform is sheared: .* 2\.63 mm off; resample"):
        Volume.read(nifti(tmp_path / "image.nii", sform=sheared, qform=None))


@pytest.mark.parametrize("unit", SCALES)
@pytest.mark.parametrize("given", ["sform", "qform", "both"])
def test_a_nifti_file_is_read_where_it_says_in_whatever_unit(tmp_path: Path, unit: str, given: str) -> None:
    sform, qform = (None if given == "qform" else affine()), (None if given == "sform" else affine())
    geometry = Volume.read(nifti(tmp_path / "image.nii", sform=sform, qform=qform, unit=unit)).geometry
    corners = np.array([(0, 0, 0), (13, 0, 0), (0, 14, 0), (0, 0, 15)])
    ras = geometry.index_to_point(corners) * [-1, -1, 1]
    np.testing.assert_allclose(ras, nibabel.affines.apply_affine(affine(), corners), rtol=0, atol=1e-4)


def test_a_sform_that_is_off_by_less_than_half_a_voxel_is_close_enough(tmp_path: Path) -> None:
    near, far = affine(at=(-10, 20, 30.45)), affine(at=(-10, 20, 30.55))
    assert Volume.read(nifti(tmp_path / "image.nii", sform=near, qform=affine())).geometry.size == SIZE
    with pytest.raises(VolumeError, match="two positions"):
        Volume.read(nifti(tmp_path / "image.nii", sform=far, qform=affine()))


# MetaImage and NRRD: compressed voxels

PAYLOADS = {".mha": ".mha", ".mhd": ".zraw", ".nrrd": ".nrrd", ".nhdr": ".raw.gz"}
"""Where the voxels of a compressed file lie, by its suffix."""

VALUES = np.random.default_rng(0).integers(-1000, 1000, (12, 11, 10)).astype(np.int16)
PLACE = Geometry((10, 11, 12), (0.7, 0.9, 3.3), (-120.5, 33.25, 812.125))


@pytest.mark.parametrize("suffix", PAYLOADS)
@pytest.mark.parametrize("part", [0.3, 0.5, 0.7, 0.9])
def test_a_damaged_compressed_file_is_refused(tmp_path: Path, suffix: str, part: float) -> None:
    Volume(VALUES, PLACE).write(tmp_path / f"image{suffix}")
    payload = tmp_path / f"image{PAYLOADS[suffix]}"
    content = bytearray(payload.read_bytes())
    content[int(len(content) * part)] ^= 0xFF
    payload.write_bytes(content)
    with pytest.raises(VolumeError, match=rf"image\{suffix} cannot be read as an image: .*damaged"):
        Volume.read(tmp_path / f"image{suffix}")


@pytest.mark.parametrize("suffix", PAYLOADS)
def test_a_compressed_file_of_fewer_voxels_than_it_announces_is_refused(tmp_path: Path, suffix: str) -> None:
    Volume(VALUES, PLACE).write(tmp_path / f"image{suffix}")
    path = tmp_path / f"image{suffix}"
    path.write_bytes(path.read_bytes().replace(b"10 11 12", b"10 11 13"))
    with pytest.raises(VolumeError, match="cannot be read as an image"):
        Volume.read(path)


@pytest.mark.parametrize("suffix", [".mhd", ".nhdr"])
def test_compressed_voxels_that_are_cut_short_or_missing_are_refused(tmp_path: Path, suffix: str) -> None:
    Volume(VALUES, PLACE).write(tmp_path / f"image{suffix}")
    payload = tmp_path / f"image{PAYLOADS[suffix]}"
    payload.write_bytes(payload.read_bytes()[:-1])
    with pytest.raises(VolumeError, match="cut short"):
        Volume.read(tmp_path / f"image{suffix}")
    payload.unlink()
    with pytest.raises(VolumeError, match="cannot be read as an image"):
        Volume.read(tmp_path / f"image{suffix}")


RAW = VALUES.tobytes()
NRRD = b"NRRD0004\n# encoding: raw\ntype: short\ndimension: 3\nsizes: 10 11 12\nendian: little\nspacings: 1 2 3\n"
META = b"ObjectType = Image\nNDims = 3\nDimSize = 10 11 12\nElementSpacing = 1 2 3\nElementType = MET_SHORT\n"


@pytest.mark.parametrize(
    ("name", "header", "payload"),
    [
        ("plain.nrrd", NRRD + b"encoding: gzip\n\n", gzip.compress(RAW)),
        ("short.nrrd", NRRD + b"Encoding: GZ\n\n", gzip.compress(RAW)),
        ("crlf.nrrd", NRRD.replace(b"\n", b"\r\n") + b"encoding: gzip\r\n\r\n", gzip.compress(RAW)),
        ("key.nrrd", NRRD + b"encoding: gzip\nencoding:=raw\ndata file:=none.raw\n\n", gzip.compress(RAW)),
        ("raw.nrrd", NRRD + b"encoding: raw\nencoding:=gzip\n\n", RAW),
        ("skip.nrrd", NRRD + b"encoding: gzip\nbyte skip: 5\n\n", gzip.compress(b"\0" * 5 + RAW)),
        ("lines.nrrd", NRRD + b"encoding: gzip\nline skip: 2\n\n", b"a\nb\n" + gzip.compress(RAW)),
        ("members.nrrd", NRRD + b"encoding: gzip\n\n", gzip.compress(RAW[:999]) + gzip.compress(RAW[999:])),
        ("beside.nhdr", NRRD + b"encoding: gzip\ndata file: ./some voxels.gz", None),
        ("zlib.mha", META + b"CompressedData = True\nElementDataFile = LOCAL\n", zlib.compress(RAW)),
        ("gzip.mha", META + b"CompressedData = true\nElementDataFile = Local\n", gzip.compress(RAW)),
        ("raw.mha", META + b"CompressedData = False\nElementDataFile = LOCAL\n", RAW),
        ("bare.mha", META + b"BinaryData = True\nElementDataFile = LOCAL\n", RAW),
        ("beside.mhd", META + b"CompressedData = True\nElementDataFile = some voxels.gz", None),
    ],
)
def test_compressed_files_of_other_programs_are_read(
    tmp_path: Path, name: str, header: bytes, payload: bytes | None
) -> None:
    (tmp_path / name).write_bytes(header + (payload or b""))
    if payload is None:
        (tmp_path / "some voxels.gz").write_bytes(gzip.compress(RAW))
    volume = Volume.read(tmp_path / name)
    assert np.array_equal(volume.array, VALUES)
    assert volume.geometry.spacing == (1, 2, 3)
