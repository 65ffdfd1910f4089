import hashlib

import numpy as np
import pytest

from gateway.core.images import Header, ImageStore
from sixpoint.errors import ChecksumMismatch, ImageNotFound, ResourceExhausted, UploadError, VolumeError
from sixpoint.geometry import Geometry
from sixpoint.volume import Volume, image_digest, voxel_type_number
from tests.harness import noisy_volume


def header_of(volume: Volume, **changes: object) -> Header:
    values = {
        "digest": volume.digest,
        "geometry": volume.geometry,
        "voxel_type": voxel_type_number(volume.array.dtype),
        "byte_count": volume.array.nbytes,
    }
    return Header(**(values | changes))


def store_of(megabytes: float = 1.0) -> ImageStore:
    return ImageStore(budget=int(megabytes * 1e6), largest=int(megabytes * 1e6))


def put(store: ImageStore, volume: Volume, *, pieces: int = 3) -> None:
    data = volume.array.tobytes()
    step = -(-len(data) // pieces)
    with store.upload(header_of(volume)) as upload:
        for start in range(0, len(data), step):
            upload.write(data[start : start + step])
            upload.advance()
        upload.keep(upload.finish())


def test_an_image_uploaded_in_pieces_is_found_by_its_digest():
    store, volume = store_of(), noisy_volume()
    put(store, volume)
    found = store.get(volume.digest)
    assert np.array_equal(found.volume.array, volume.array)
    assert found.volume.geometry == volume.geometry
    assert store.nbytes == volume.array.nbytes


def test_the_digest_covers_the_geometry_and_the_type_too():
    volume = noisy_volume()
    moved = Geometry(size=volume.geometry.size, origin=(0.0, 0.0, 1.0))
    digests = {
        volume.digest,
        image_digest(moved, volume.array),
        image_digest(volume.geometry, volume.array.view(np.uint16)),
    }
    assert len(digests) == 3
    by_hand = hashlib.sha256(volume.geometry.packed() + bytes([3]) + volume.array.tobytes()).hexdigest()
    assert volume.digest == by_hand


def test_an_upload_that_ends_early_leaves_nothing_behind():
    store, volume = store_of(), noisy_volume()
    with store.upload(header_of(volume)) as upload:
        upload.write(volume.array.tobytes()[:-1])
        with pytest.raises(UploadError, match="of 92160 bytes"):
            upload.finish()
    assert store.nbytes == 0
    with pytest.raises(ImageNotFound):
        store.get(volume.digest)


def test_more_bytes_than_announced_are_refused_when_they_come():
    volume = noisy_volume()
    with pytest.raises(UploadError, match="announced 92160"), store_of().upload(header_of(volume)) as upload:
        upload.write(volume.array.tobytes() + b"x")


def test_other_bytes_than_announced_are_refused():
    store, volume = store_of(), noisy_volume()
    data = bytearray(volume.array.tobytes())
    data[1000] ^= 1
    with store.upload(header_of(volume)) as upload:
        upload.write(bytes(data))
        with pytest.raises(ChecksumMismatch):
            upload.finish()
    assert store.nbytes == 0


def test_a_header_that_claims_a_hundred_gigabytes_takes_no_memory():
    store = store_of()
    geometry = Geometry(size=(10_000, 10_000, 500))
    claim = Header(digest="0" * 64, geometry=geometry, voxel_type=3, byte_count=100_000_000_000)
    with pytest.raises(ResourceExhausted, match="at most 1000000"):
        store.upload(claim)
    assert store.nbytes == 0


def test_a_header_whose_numbers_contradict_each_other_is_refused():
    with pytest.raises(UploadError, match="make 92160"):
        store_of().upload(header_of(noisy_volume(), byte_count=7))


@pytest.mark.parametrize("number", [0, 8, -1, 255])
def test_an_unknown_voxel_type_is_refused(number: int):
    with pytest.raises(VolumeError, match="not supported"):
        store_of().upload(header_of(noisy_volume(), voxel_type=number))


def test_an_image_of_one_slice_is_refused():
    with pytest.raises(VolumeError, match="at least two voxels along each axis"):
        store_of().upload(header_of(noisy_volume((40, 36, 1))))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_no_numbers_are_counted_and_refused(value: float):
    volume = noisy_volume(dtype="float32")
    volume.array[3, 4, 5:7] = value
    with pytest.raises(VolumeError, match="2 voxels"):
        put(store_of(), volume)


def test_the_least_recently_used_image_makes_room():
    store = store_of(0.2)
    first, second, third = (noisy_volume((40, 36, 32 - n)) for n in range(3))
    put(store, first)
    put(store, second)
    store.get(first.digest)
    put(store, third)
    assert store.get(first.digest)
    assert store.get(third.digest)
    with pytest.raises(ImageNotFound):
        store.get(second.digest)


def test_an_image_in_a_session_never_makes_room():
    store, held = store_of(0.1), noisy_volume()
    put(store, held)
    store.get(held.digest).sessions = 1
    with pytest.raises(ResourceExhausted) as caught:
        store.upload(header_of(noisy_volume((40, 36, 31))))
    assert caught.value.retry_after
    assert store.get(held.digest)


def test_running_uploads_count_against_the_budget():
    store, volume = store_of(0.1), noisy_volume()
    with store.upload(header_of(volume)), pytest.raises(ResourceExhausted):
        store.upload(header_of(volume))
    with store.upload(header_of(volume)):
        assert store.nbytes == volume.array.nbytes


def test_the_same_image_twice_is_kept_once():
    store, volume = store_of(), noisy_volume()
    put(store, volume)
    kept = store.get(volume.digest)
    put(store, volume)
    assert store.get(volume.digest) is kept
    assert store.nbytes == volume.array.nbytes


def test_the_canonical_view_shares_the_voxels():
    volume = Volume(noisy_volume().array, Geometry(size=(40, 36, 32), direction=(-1, 0, 0, 0, 0, 1, 0, 1, 0)))
    store = store_of()
    put(store, volume)
    image = store.get(volume.digest)
    assert np.shares_memory(image.canonical, image.volume.array)
    assert image.canonical.shape == image.canonical_geometry.shape == (36, 32, 40)
