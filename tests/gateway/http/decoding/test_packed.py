"""Packed arrays of nnInteractive's protocol, as its client writes and reads them, and as nobody should write them."""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path
from unittest import mock

import blosc2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nnInteractive.inference.remote import serialization as theirs

from gateway.http.decoding import packed
from gateway.http.decoding.packed import mask_of, pack_array, read_header, unpack_array, unpack_file
from sixpoint._typing import Array
from sixpoint.errors import UploadError

LIMIT = 2**24
TYPES = [
    "bool",
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    "float16",
    "float32",
    "float64",
]
RNG = np.random.default_rng(0)
BLOB = RNG.integers(0, 100, (3, 40, 50)) * (RNG.random((3, 40, 50)) > 0.5)
# Its chunk is compressed, in several blocks.
BODY = theirs.pack_array(np.repeat(BLOB.astype(np.int16), 20, axis=0), filters=[blosc2.Filter.SHUFFLE])


def unpacked(body: bytes, *, axes: int = 3, max_bytes: int = LIMIT) -> Array:
    view = memoryview(body)
    return unpack_array(view, read_header(view, axes=axes, max_bytes=max_bytes))


def unpacked_file(body: bytes, *, axes: int = 3, max_bytes: int = LIMIT) -> Array:
    """Unpack a file, in pieces that are smaller than its chunks; nothing is left beside it."""
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(packed, "_PIECE", 2**12):
        source = Path(folder, "array")
        source.write_bytes(body)
        try:
            return unpack_file(source, axes=axes, max_bytes=max_bytes)
        finally:
            assert list(Path(folder).iterdir()) == [source]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(
    "values", [np.zeros((3, 40, 50)), np.ones((30, 200, 20)), BLOB, np.ones((1, 1, 1)), RNG.normal(size=(9, 99, 99))]
)
def test_arrays_of_the_client(dtype: str, values: Array) -> None:
    array = values.astype(dtype)
    for filters in ([blosc2.Filter.NOFILTER], [blosc2.Filter.SHUFFLE], None):
        for codec in (blosc2.Codec.ZSTD, blosc2.Codec.LZ4):
            body = theirs.pack_array(array, codec=codec, filters=filters)
            for result in (unpacked(body), unpacked_file(body)):
                assert result.dtype == array.dtype
                assert np.array_equal(result, array)
    assert np.array_equal(theirs.unpack_array(pack_array(array)), array)


def test_several_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(theirs, "_CHUNK_SIZE", 2**12)
    body = theirs.pack_array(BLOB.astype(np.int32))
    assert np.array_equal(unpacked(body), BLOB)
    assert np.array_equal(unpacked_file(body), BLOB)


def lying(shape: tuple[int, ...], name: bytes = b"uint8") -> bytes:
    head = struct.pack("<4sBBBB", b"NNIA", 1, 1, len(shape), len(name)) + name
    return head + struct.pack(f"<{len(shape)}q", *shape) + struct.pack("<I", 1)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "ended early"),
        (b"NNIA", "ended early"),
        (b"\x93NUMPY\x01\x00", "no packed array"),
        (b"NNIA\x02" + BODY[5:], "no packed array"),
        (b"NNIA\x01\x03" + BODY[6:], "no packed array"),
        (lying((2, 2)), "2 axes"),
        (lying((2, 2, 2), b"<U10"), "type"),
        (lying((2, 2, 2), b"complex64"), "type"),
        (lying((2**62, 2**62, 2**62)), "at most"),
        (lying((-1, 2, 2)), "at least one"),
        (lying((0, 2, 2)), "at least one"),
        (lying((2, 2, 2)), "ended early"),
        (BODY[:-1], "ended early"),
        (BODY + b"x", ""),
    ],
)
def test_damaged_arrays(body: bytes, words: str) -> None:
    if not words:
        # Bytes behind the last chunk are nobody's.
        assert np.array_equal(unpacked(body), unpacked_file(body))
        return
    with pytest.raises(UploadError, match=words):
        unpacked(body)
    with pytest.raises(UploadError, match=words if body else "empty"):
        unpacked_file(body)


def test_masks_are_whole_numbers() -> None:
    assert mask_of(np.array([[[0, 3]]])).tolist() == [[[False, True]]]
    with pytest.raises(UploadError, match="whole numbers"):
        mask_of(np.zeros((1, 1, 1), np.float32))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(BODY) - 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_any_bytes_are_an_array_or_are_refused(changes: list[tuple[int, int]]) -> None:
    body = bytearray(BODY)
    for place, value in changes:
        body[place] = value
    check(bytes(body))


# The places that say how the rest is read.
@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255)), min_size=1, max_size=3), st.integers(0, len(BODY)))
def test_any_header_is_read_or_refused(changes: list[tuple[int, int]], length: int) -> None:
    body = bytearray(BODY)
    for place, value in changes:
        body[place] = value
    check(bytes(body[:length]))


def check(body: bytes) -> None:
    """Bytes are an array, or they are refused, in memory and from a file."""
    for unpack in (unpacked, unpacked_file):
        try:
            result = unpack(body)
        except UploadError:
            continue
        assert result.nbytes <= LIMIT
