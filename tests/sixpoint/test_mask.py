from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from sixpoint.errors import InternalError
from sixpoint.geometry import Geometry
from sixpoint.mask import Mask, pack, unpack
from sixpoint.volume import Volume

SIZE = (20, 15, 12)


def blob() -> npt.NDArray[np.bool_]:
    """A piece of a mask, [z, y, x], that ends on no byte."""
    return np.random.default_rng(0).random((7, 9, 11)) > 0.5


def placed(piece: npt.NDArray[Any], offset: tuple[int, int, int], size: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    """The whole mask that has this piece at this (x, y, z)."""
    whole = np.zeros(size[::-1], np.uint8)
    x, y, z = offset
    whole[z : z + piece.shape[0], y : y + piece.shape[1], x : x + piece.shape[2]] = piece
    return whole


@given(st.data())
def test_any_mask_comes_back(data: st.DataObject) -> None:
    shape = data.draw(st.tuples(*[st.integers(1, 9)] * 3))
    offset = data.draw(st.tuples(*[st.integers(0, 3)] * 3))
    share = data.draw(st.sampled_from((0.0, 0.01, 0.5, 1.0)))
    piece = np.random.default_rng(data.draw(st.integers(0, 99))).random(shape) < share
    back = unpack(pack(piece, offset), SIZE)
    assert back.dtype == np.uint8
    assert np.array_equal(back, placed(piece, offset, SIZE))


def test_the_box_is_the_smallest_that_holds_the_mask() -> None:
    piece = np.zeros((8, 8, 8), bool)
    piece[2, 3, 4] = piece[5, 3, 6] = True
    packed = pack(piece, (10, 20, 30))
    assert (packed.lower, packed.upper) == ((14, 23, 32), (17, 24, 36))
    assert packed.voxel_count == 2


def test_the_bits_are_those_of_the_contract() -> None:
    # x fastest, then y, then z; the most significant bit first; filled up with zeros.
    piece = np.array([[[1, 0, 1], [1, 1, 0]], [[0, 0, 0], [0, 1, 1]]], bool)
    packed = pack(piece, (0, 0, 0))
    raw = zstandard.ZstdDecompressor().decompress(packed.bits)
    assert raw == bytes([0b10111000, 0b00110000])


def test_an_empty_mask_has_an_empty_box() -> None:
    packed = pack(np.zeros((3, 4, 5), bool), (1, 2, 3))
    assert packed.lower == packed.upper
    assert packed.voxel_count == 0
    assert not unpack(packed, SIZE).any()


def test_a_full_mask_comes_back_full() -> None:
    packed = pack(np.ones(SIZE[::-1], bool), (0, 0, 0))
    assert packed.voxel_count == 20 * 15 * 12
    assert unpack(packed, SIZE).all()


def test_a_reversed_view_is_packed_as_it_is_seen() -> None:
    piece = blob()[::-1, :, ::-1]
    assert np.array_equal(unpack(pack(piece, (0, 0, 0)), SIZE), placed(piece, (0, 0, 0), SIZE))


def test_no_flipped_bit_yields_another_mask() -> None:
    packed = pack(blob(), (3, 2, 1))
    expected = unpack(packed, SIZE)
    refused = 0
    for bit in range(8 * len(packed.bits)):
        damaged = bytearray(packed.bits)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            back = unpack(dataclasses.replace(packed, bits=bytes(damaged)), SIZE)
        except InternalError:
            refused += 1
        else:
            # zstd leaves a few bits of its frame unused.
            assert np.array_equal(back, expected)
    assert refused > 0.95 * 8 * len(packed.bits)


@pytest.mark.parametrize(
    "damage",
    [
        lambda packed: {"bits": packed.bits[:-1]},
        lambda packed: {"bits": b""},
        lambda packed: {"bits": b"not zstd at all"},
        lambda packed: {"bits": zstandard.compress(b"other bits")},
        lambda packed: {"sha256": bytes(32)},
        lambda packed: {"sha256": b""},
        lambda packed: {"upper": (packed.upper[0] - 1, *packed.upper[1:])},
        lambda packed: {"upper": packed.lower},
    ],
    ids=["truncated", "nothing", "not zstd", "other bits", "wrong sha", "no sha", "smaller box", "empty box"],
)
def test_a_damaged_patch_is_refused(damage: Any) -> None:
    packed = pack(blob(), (3, 2, 1))
    with pytest.raises(InternalError, match="arrived damaged"):
        unpack(dataclasses.replace(packed, **damage(packed)), SIZE)


@pytest.mark.parametrize(
    ("lower", "upper"),
    [((-1, 0, 0), (10, 9, 7)), ((0, 0, 0), (21, 9, 7)), ((0, 0, 0), (11, 9, 13)), ((5, 5, 5), (4, 9, 9))],
    ids=["below", "beyond x", "beyond z", "inside out"],
)
def test_a_box_that_does_not_fit_the_image_is_refused(lower: tuple[int, int, int], upper: tuple[int, int, int]) -> None:
    packed = dataclasses.replace(pack(blob(), (0, 0, 0)), lower=lower, upper=upper)
    with pytest.raises(InternalError, match="exceeds the image"):
        unpack(packed, SIZE)


def test_a_regular_mask_travels_in_a_few_percent_of_a_byte_per_voxel() -> None:
    z, y, x = np.ogrid[-32:32, -32:32, -32:32]
    assert len(pack(x * x + y * y + z * z < 900, (0, 0, 0)).bits) < 0.05 * 64**3


def test_the_volume_is_that_of_the_voxels_that_are_one() -> None:
    array = np.zeros((4, 5, 6), np.uint8)
    array[1:3, 2, 2:5] = 1
    assert Mask(array, Geometry((6, 5, 4), (2, 3, 5))).volume_ml == pytest.approx(6 * 30 / 1000)


def test_a_mask_is_saved_as_zeros_and_ones_on_its_images_grid(tmp_path: Path) -> None:
    geometry = Geometry((11, 9, 7), (0.5, 0.5, 2), (1, 2, 3))
    Mask(blob().astype(np.uint8), geometry).save(tmp_path / "mask.nrrd")
    back = Volume.read(tmp_path / "mask.nrrd")
    assert back.array.dtype == np.uint8
    assert np.array_equal(back.array, blob())
    assert back.geometry.same_grid(geometry)
