"""What a client takes for an image: files, volumes, arrays, and images of SimpleITK and nibabel."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from nibabel.nifti1 import Nifti1Image

from sixpoint import Geometry, Mask, Retry, Volume
from sixpoint.client._operations.images import load
from sixpoint.errors import VolumeError
from tests.sixpoint.client.fake_gateway import EACH_CLIENT, settled
from tests.sixpoint.client.session_gateway import SessionGateway
from tests.sixpoint.volumes import OBLIQUE, noise

ARRAY = noise(OBLIQUE)


def loaded(image: Any, **arguments: Any) -> Volume:
    return load(image, **arguments).function()


@pytest.mark.parametrize("spacing", [(0.5, 0.75, 3), [0.5, 0.75, 3], np.array([0.5, 0.75, 3])], ids=type)
def test_an_array_with_a_spacing_is_an_image_without_a_position(spacing: Any) -> None:
    volume = loaded(ARRAY, spacing=spacing)
    assert volume.geometry == Geometry(size=(4, 5, 6), spacing=(0.5, 0.75, 3))
    assert np.array_equal(volume.array, ARRAY)
    (note,) = volume.notes
    assert "without a position in the patient" in note


def test_an_array_with_a_geometry_is_what_a_volume_of_both_is() -> None:
    assert loaded(ARRAY, geometry=OBLIQUE).digest == Volume(ARRAY, OBLIQUE).digest
    assert loaded(np.asfortranarray(ARRAY), geometry=OBLIQUE).digest == Volume(ARRAY, OBLIQUE).digest
    assert not loaded(ARRAY, geometry=OBLIQUE).notes


@pytest.mark.parametrize(
    ("image", "arguments", "message"),
    [
        (ARRAY, {}, r"needs spacing=\(x, y, z\) in mm, or geometry=.*its axes are \[z, y, x\]"),
        (ARRAY, {"spacing": (1, 1, 1), "geometry": OBLIQUE}, "spacing or geometry, not both"),
        (ARRAY, {"spacing": (1, 1)}, "spacing needs 3 numbers, got 2"),
        (ARRAY, {"spacing": (1, 1, 0)}, "spacing must be positive"),
        (ARRAY, {"spacing": (1, 1, np.nan)}, "spacing has a number that is not finite"),
        (ARRAY, {"spacing": ("a", 1, 1)}, "spacing must be 3 numbers"),
        (ARRAY[0], {"spacing": (1, 1, 1)}, r"three axes \[z, y, x\], got an array of shape \(5, 4\)"),
        (ARRAY.T, {"geometry": OBLIQUE}, r"the geometry says \[z, y, x\] = \(6, 5, 4\), the array is \(4, 5, 6\)"),
        (ARRAY + 1j, {"geometry": OBLIQUE}, "voxels of type complex128 are not supported"),
        (np.ma.masked_less(ARRAY, 50), {"geometry": OBLIQUE}, "masked elements"),
        (Volume(ARRAY, OBLIQUE), {"spacing": (1, 1, 1)}, "the Volume has its own: leave spacing out"),
        (Volume(ARRAY, OBLIQUE), {"geometry": OBLIQUE}, "leave geometry out"),
        ("ct.nii.gz", {"geometry": OBLIQUE}, "leave geometry out"),
        (ARRAY.tolist(), {"spacing": (1, 1, 1)}, "spacing is for an array or a file; the list has its own"),
        (ARRAY.tolist(), {}, r"expected a file, .*got list; convert it to an array \[z, y, x\]"),
        (Mask(np.zeros((6, 5, 4), np.uint8), OBLIQUE), {}, "got Mask"),
        (None, {}, "got NoneType"),
    ],
)
def test_what_is_no_image_is_refused_with_what_to_give(image: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(VolumeError, match=message):
        loaded(image, **arguments)


def test_an_image_of_simpleitk_is_taken() -> None:
    image = sitk.GetImageFromArray(ARRAY)
    image.SetSpacing(OBLIQUE.spacing)
    image.SetOrigin(OBLIQUE.origin)
    image.SetDirection(OBLIQUE.direction)
    assert loaded(image).digest == Volume(ARRAY, OBLIQUE).digest


@pytest.mark.parametrize("dtype", ["int16", "uint8", "float32"])
def test_an_image_of_nibabel_is_what_its_file_is(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "image.nii.gz"
    Volume(ARRAY.astype(dtype), OBLIQUE).write(path)
    image: Any = nibabel.load(path)
    volume, file = loaded(image), Volume.read(path)
    assert volume.digest == file.digest
    assert volume.geometry.nifti is not None
    assert volume.geometry.nifti.sform == file.geometry.nifti.sform  # type: ignore[union-attr]


@pytest.mark.parametrize("dtype", ["bool", "float16", "float64", "int64", "uint16"])
def test_voxels_of_an_image_of_nibabel_are_not_rounded_to_the_type_of_its_header(dtype: str) -> None:
    array = (ARRAY.T / 7).astype(dtype)
    image = Nifti1Image(array.astype(np.float64), np.diag([2.0, 2, 3, 1]))
    image.set_data_dtype(np.uint8)
    image._dataobj = array
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        volume = loaded(image)
    assert np.array_equal(volume.array, array.astype(np.float32).T)
    assert volume.geometry.spacing == (2, 2, 3)


def test_a_bad_image_of_nibabel_is_refused_without_a_temporary_path() -> None:
    image = Nifti1Image(np.zeros((4, 5, 6, 2), np.int16), np.eye(4))
    with pytest.raises(VolumeError, match="the image of nibabel") as caught:
        loaded(image)
    assert "image.nii" not in caught.value.message


def test_what_nibabel_cannot_read_or_write_is_a_volume_error(tmp_path: Path) -> None:
    path = tmp_path / "image.nii"
    Volume(ARRAY, OBLIQUE).write(path)
    truncated: Any = nibabel.load(path)
    path.write_bytes(path.read_bytes()[:400])
    long = nibabel.Nifti2Image(np.zeros((40_000, 3, 3), np.int16), np.eye(4))
    for image in (truncated, long):
        with pytest.raises(VolumeError, match="the image of nibabel cannot be read; save it to a file"):
            loaded(image)


@EACH_CLIENT
async def test_each_call_that_takes_an_image_takes_an_array(stepping: SessionGateway, kind: Any) -> None:
    client = kind(stepping.address, retry=Retry.none())
    digest = Volume(ARRAY, OBLIQUE).digest
    assert await settled(client.upload(ARRAY, geometry=OBLIQUE)) == digest
    session = await settled(client.open_session(ARRAY, geometry=OBLIQUE))
    assert stepping.requests["CreateSession"].image_digest == digest
    assert session.volume.digest == digest
    for call in (client.open_session, client.upload):
        with pytest.raises(VolumeError, match="an array needs spacing"):
            await settled(call(ARRAY))
    with pytest.raises(VolumeError, match="an array needs spacing"):
        await settled(client.segment(ARRAY, model="organs"))
    with pytest.raises(VolumeError, match="an array needs spacing"):
        await settled(client.resume("s1", ARRAY))
    await settled(client.close())
