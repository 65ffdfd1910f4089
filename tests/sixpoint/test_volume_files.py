"""Files that contradict themselves, or are damaged where ITK does not look."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import numpy.typing as npt
import pytest

from sixpoint.errors import VolumeError
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
    with pytest.raises(VolumeError, match=r"two places.* 15\.00 mm "):
        Volume.read(path)


def test_a_nifti_file_with_a_sheared_sform_is_refused(tmp_path: Path) -> None:
    sheared = affine()
    sheared[:3, 1] += 0.3 * sheared[:3, 0]
    with pytest.raises(VolumeError, match=r"two places.* 4\.20 mm "):
        Volume.read(nifti(tmp_path / "image.nii", sform=sheared, qform=affine()))
    with pytest.raises(VolumeError, match="orthonormal"):
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
    with pytest.raises(VolumeError, match="two places"):
        Volume.read(nifti(tmp_path / "image.nii", sform=far, qform=affine()))
