from __future__ import annotations

import gzip
import hashlib
import resource
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from sixpoint.errors import VolumeError
from sixpoint.geometry import Geometry
from sixpoint.mask import Mask
from sixpoint.volume import VOXEL_TYPES, Volume, check_suffix, check_voxels, voxel_type_number
from tests.sixpoint.geometries import AXIS_ORDERS, reordered
from tests.sixpoint.volumes import FORMATS, OBLIQUE, noise, on_unit_grid
from tests.support.data import shared


def nifti_affine(path: Path) -> npt.NDArray[np.float32]:
    """The 3x4 affine (RAS) in a NIfTI file's header, to the bit."""
    content = path.read_bytes()
    header = gzip.decompress(content) if path.name.endswith(".gz") else content
    return np.frombuffer(header[280:328], "<f4").reshape(3, 4)


@contextmanager
def small_files(*, limit: int) -> Iterator[None]:
    """Files that can hold no more than this: as a full disk, for one process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# Files


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("dtype", [str(dtype) for dtype in VOXEL_TYPES.values()])
def test_voxels_of_every_type_come_back_from_every_format(tmp_path: Path, suffix: str, dtype: str) -> None:
    volume = Volume(noise(OBLIQUE, dtype), OBLIQUE)
    volume.write(tmp_path / f"image{suffix}")
    back = Volume.read(tmp_path / f"image{suffix}")
    assert back.array.dtype == volume.array.dtype
    assert np.array_equal(back.array, volume.array)


@pytest.mark.parametrize("suffix", FORMATS)
def test_an_oblique_geometry_comes_back_to_what_the_format_holds(tmp_path: Path, suffix: str) -> None:
    Volume(noise(OBLIQUE), OBLIQUE).write(tmp_path / f"image{suffix}")
    back = Volume.read(tmp_path / f"image{suffix}").geometry
    # NIfTI's affine is float32, to be seen in an origin of 800 mm.
    assert back.same_grid(OBLIQUE, tolerance=1e-5 if ".nii" in suffix else 1e-12)


@pytest.mark.parametrize("suffix", [".mha", ".mhd"])
def test_an_oblique_geometry_comes_back_from_metaimage_to_the_last_bit(tmp_path: Path, suffix: str) -> None:
    Volume(noise(OBLIQUE), OBLIQUE).write(tmp_path / f"image{suffix}")
    assert Volume.read(tmp_path / f"image{suffix}").geometry == OBLIQUE


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(("axes", "flips"), AXIS_ORDERS[::7], ids=str)
def test_a_mask_has_its_images_geometry_to_the_last_bit(
    tmp_path: Path, suffix: str, axes: tuple[int, ...], flips: tuple[bool, ...]
) -> None:
    upright = Geometry((4, 5, 6), (0.7, 0.9, 3.3), (-120.3, 33.21, 812.17))
    image = Volume(*reordered(noise(upright), upright, axes, flips))
    image.write(tmp_path / f"image{suffix}")
    image = Volume.read(tmp_path / f"image{suffix}")
    Mask(np.ones_like(image.array, np.uint8), image.geometry).save(tmp_path / f"mask{suffix}")
    assert Volume.read(tmp_path / f"mask{suffix}").geometry == image.geometry
    if ".nii" in suffix:
        assert np.array_equal(nifti_affine(tmp_path / f"mask{suffix}"), nifti_affine(tmp_path / f"image{suffix}"))


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_mask_has_its_oblique_images_geometry_to_the_formats_rounding(tmp_path: Path, suffix: str) -> None:
    Volume(noise(OBLIQUE), OBLIQUE).write(tmp_path / f"image{suffix}")
    image = Volume.read(tmp_path / f"image{suffix}")
    Mask(np.ones_like(image.array, np.uint8), image.geometry).save(tmp_path / f"mask{suffix}")
    mask = Volume.read(tmp_path / f"mask{suffix}")
    # ITK takes NIfTI's directions from its quaternion, in float32.
    assert mask.geometry.same_grid(image.geometry, tolerance=5e-7 if ".nii" in suffix else 1e-14)


def test_nifti_files_hold_ras_and_volumes_lps(tmp_path: Path) -> None:
    Volume(noise(OBLIQUE), OBLIQUE).write(tmp_path / "image.nii")
    affine = nifti_affine(tmp_path / "image.nii")
    index = np.array([(3.0, 1.0, 2.0)])
    ras = affine[:, :3] @ index[0] + affine[:, 3]
    np.testing.assert_allclose(OBLIQUE.index_to_point(index)[0] * [-1, -1, 1], ras, atol=1e-4)


def test_a_mask_on_a_real_image_has_its_affine_to_the_last_bit(tmp_path: Path) -> None:
    source = shared("volumes/ct_abdomen_slab_image.nii.gz")
    image = Volume.read(source)
    Mask(np.zeros_like(image.array, np.uint8), image.geometry).save(tmp_path / "mask.nii.gz")
    assert np.array_equal(nifti_affine(tmp_path / "mask.nii.gz"), nifti_affine(source))


def test_axes_as_rough_as_allowed_can_be_written_and_read(tmp_path: Path) -> None:
    rough = Geometry((4, 5, 6), direction=(0.9999, 0, 0, 0, 1, 0.0004, 0, -0.0004, 1))
    for suffix in FORMATS:
        Volume(noise(rough), rough).write(tmp_path / f"image{suffix}")
        assert Volume.read(tmp_path / f"image{suffix}").geometry.same_grid(rough, tolerance=1e-3)


def test_writing_makes_the_folders_that_are_missing(tmp_path: Path) -> None:
    on_unit_grid(noise(OBLIQUE)).write(tmp_path / "a" / "b" / "image.nii.gz")
    assert (tmp_path / "a" / "b" / "image.nii.gz").exists()


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_that_there_is_no_place_for_is_an_error_and_the_one_before_stays(tmp_path: Path, suffix: str) -> None:
    before = on_unit_grid(np.ones((32, 32, 32), np.uint8))
    before.write(tmp_path / f"mask{suffix}")
    names = sorted(tmp_path.iterdir())
    dense = np.random.default_rng(0).integers(0, 256, (32, 32, 32)).astype(np.uint8)
    with small_files(limit=16384), pytest.raises(VolumeError, match=f"cannot write .*mask{suffix}: "):
        on_unit_grid(dense).write(tmp_path / f"mask{suffix}")
    assert np.array_equal(Volume.read(tmp_path / f"mask{suffix}").array, before.array)
    assert sorted(tmp_path.iterdir()) == names


def test_a_written_file_may_be_read_by_whoever_could_read_one_before(tmp_path: Path) -> None:
    on_unit_grid(noise(OBLIQUE)).write(tmp_path / "image.nii.gz")
    (tmp_path / "other").touch()
    assert (tmp_path / "image.nii.gz").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize("disk", [None, Path("/dev/shm")], ids=["the same disk", "another disk"])
def test_what_a_link_leads_to_is_written(tmp_path: Path, disk: Path | None) -> None:
    with tempfile.TemporaryDirectory(dir=disk) as folder:
        kept, link = Path(folder) / "kept", tmp_path / "image.nrrd"
        kept.touch()
        link.symlink_to(kept)
        volume = on_unit_grid(noise(OBLIQUE))
        volume.write(link)
        assert link.is_symlink()
        assert np.array_equal(Volume.read(link).array, volume.array)
        assert sorted(tmp_path.iterdir()) == [link]


def test_writing_beneath_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(VolumeError, match="cannot write"):
        on_unit_grid(noise(OBLIQUE)).write(tmp_path / "file" / "image.nii.gz")


@pytest.mark.parametrize("name", ["image", "image.png", "image.gz", "image.NII.GZ", "nii"])
def test_writing_to_a_suffix_that_says_no_format_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(VolumeError, match=r"its suffix must be one of \.nii"):
        check_suffix(tmp_path / name)
    with pytest.raises(VolumeError, match=r"its suffix must be one of \.nii"):
        on_unit_grid(noise(OBLIQUE)).write(tmp_path / name)


# Arrays


@pytest.mark.parametrize(
    ("given", "travels"),
    [
        ("bool", "uint8"),
        ("float16", "float32"),
        ("float64", "float32"),
        ("int64", "int32"),
        ("uint64", "uint32"),
        (">i2", "int16"),
        (">u4", "uint32"),
        (">i8", "int32"),
        (">f2", "float32"),
        (">f4", "float32"),
        (">f8", "float32"),
    ],
)
def test_other_types_are_converted_without_changing_a_number(given: str, travels: str) -> None:
    array = np.array([[[0, 1], [1, 0]], [[1, 1], [0, 0]]]).astype(given)
    volume = on_unit_grid(array)
    assert volume.array.dtype == np.dtype(travels).newbyteorder("<")
    assert np.array_equal(volume.array, array)


@pytest.mark.parametrize("dtype", ["complex64", "complex128", "longdouble", "object", "S4", "datetime64[s]"])
def test_voxels_that_are_no_plain_numbers_are_refused(dtype: str) -> None:
    with pytest.raises(VolumeError, match=r"are not supported; expected one of int8, .*float32"):
        on_unit_grid(np.ones((2, 2, 2)).astype(dtype))


@pytest.mark.parametrize(
    ("dtype", "fits", "too_much"),
    [
        ("int64", 2**31 - 1, 2**31),
        ("int64", -(2**31), -(2**31) - 1),
        ("int64", 0, np.iinfo(np.int64).min),
        ("uint64", 2**32 - 1, 2**32),
        ("uint64", 0, np.iinfo(np.uint64).max),
    ],
)
def test_wide_integers_travel_only_while_they_fit(dtype: str, fits: int, too_much: int) -> None:
    assert on_unit_grid(np.full((2, 2, 2), fits, dtype)).array.flat[0] == fits
    with pytest.raises(VolumeError, match="only while they fit"):
        on_unit_grid(np.full((2, 2, 2), too_much, dtype))


def test_voxels_in_another_memory_order_are_laid_out_anew() -> None:
    array = np.arange(24, dtype=np.int16).reshape(4, 3, 2).transpose(2, 0, 1)[:, ::-1]
    volume = on_unit_grid(array)
    assert volume.array.flags.c_contiguous
    assert np.array_equal(volume.array, array)


@pytest.mark.parametrize("shape", [(4,), (4, 5), (2, 3, 4, 5)])
def test_an_array_of_other_than_three_axes_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(VolumeError, match="three axes"):
        Volume(np.zeros(shape, np.int16), Geometry((4, 5, 6)))


def test_an_array_that_disagrees_with_its_geometry_is_refused() -> None:
    with pytest.raises(VolumeError, match=r"says \[z, y, x\] = \(6, 5, 4\), the array is \(4, 5, 6\)"):
        Volume(np.zeros((4, 5, 6), np.int16), Geometry((4, 5, 6)))


@pytest.mark.parametrize("number", range(1, 8))
def test_voxel_types_are_numbered_as_in_the_contract(number: int) -> None:
    from sixpoint.v1 import volume_pb2

    name = volume_pb2.VoxelType.Name(number)  # type: ignore[arg-type]
    assert voxel_type_number(np.dtype(name.removeprefix("VOXEL_TYPE_").lower())) == number


def test_the_digest_is_what_the_contract_says() -> None:
    values = np.arange(24, dtype="<i2").reshape(2, 3, 4)
    geometry = Geometry((4, 3, 2), (0.5, 0.6, 0.7), (1, 2, 3))
    content = struct.pack("<qqq", 4, 3, 2)
    content += struct.pack("<15d", 0.5, 0.6, 0.7, 1, 2, 3, 1, 0, 0, 0, 1, 0, 0, 0, 1)
    content += b"\x03" + values.tobytes()
    assert Volume(values, geometry).digest == hashlib.sha256(content).hexdigest()


def test_the_digest_tells_types_and_places_apart() -> None:
    signed = on_unit_grid(np.zeros((2, 3, 4), np.int16))
    unsigned = on_unit_grid(np.zeros((2, 3, 4), np.uint16))
    moved = Volume(signed.array, Geometry((4, 3, 2), origin=(0, 0, 1)))
    assert len({signed.digest, unsigned.digest, moved.digest}) == 3


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_not_finite_are_counted(wrong: float) -> None:
    array = np.zeros((3, 4, 5), np.float32)
    array[0, 0, :2] = wrong
    with pytest.raises(VolumeError, match="2 voxels that are NaN or infinite"):
        check_voxels(array)


def test_an_image_of_nothing_but_nan_is_refused_as_such() -> None:
    with pytest.raises(VolumeError, match="all voxels of the image are NaN or infinite, so there is nothing to see"):
        check_voxels(np.full((3, 4, 5), np.nan, np.float32))


@pytest.mark.filterwarnings("error")
def test_numbers_too_large_for_float32_are_refused_and_infinite_ones_stay() -> None:
    assert np.isinf(on_unit_grid(np.full((2, 3, 4), np.inf)).array).all()
    with pytest.raises(VolumeError, match="voxels of type float64 are supported only while they fit into float32"):
        on_unit_grid(np.full((2, 3, 4), 1e39))


def test_infinities_that_cancel_each_other_are_found() -> None:
    with pytest.raises(VolumeError, match="2 voxels"):
        check_voxels(np.array([[[np.inf, -np.inf, 0]]], np.float32))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_largest_finite_voxels_are_numbers(dtype: str) -> None:
    check_voxels(np.full((3, 4, 5), np.finfo(dtype).max, dtype))


def test_integers_are_always_numbers() -> None:
    check_voxels(np.full((2, 2, 2), -(2**31), np.int32))
