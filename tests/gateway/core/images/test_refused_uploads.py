"""Uploads that are refused: wrong bytes, headers, voxels, and quotas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.core.images import ImageHeader, ImageStore
from sixpoint.errors import (
    ChecksumMismatch,
    ResourceExhausted,
    SixpointError,
    StorageFull,
    UploadError,
    VolumeError,
)
from sixpoint.geometry import Geometry
from tests.gateway.core.images.image_stores import (
    MEGABYTE,
    blob_path,
    header_of,
    image_folders,
    open_store,
    send,
    start_upload,
    upload_image,
)
from tests.support.callers import NOBODY, caller
from tests.support.disks import small_disk
from tests.support.images import noisy_volume


async def test_more_bytes_than_announced_are_refused(images: ImageStore, tmp_path: Path) -> None:
    volume = noisy_volume()
    with pytest.raises(UploadError, match="announced 92160"):
        await send(images, volume, volume.array.tobytes() + b"x")
    assert image_folders(tmp_path) == set()


async def test_other_bytes_than_announced_are_refused_and_leave_nothing(images: ImageStore, tmp_path: Path) -> None:
    volume = noisy_volume()
    data = bytearray(volume.array.tobytes())
    data[1000] ^= 1
    with pytest.raises(ChecksumMismatch):
        await send(images, volume, bytes(data))
    assert image_folders(tmp_path) == set()


async def test_a_header_that_claims_a_hundred_gigabytes_takes_no_disk(images: ImageStore, tmp_path: Path) -> None:
    geometry = Geometry(size=(10_000, 10_000, 500))
    claim = ImageHeader(digest="0" * 64, geometry=geometry, voxel_type=3, byte_count=100_000_000_000)
    with pytest.raises(ResourceExhausted, match="at most 1000000"):
        async with images.upload(claim, principal=NOBODY):
            pass
    assert image_folders(tmp_path) == set()


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"byte_count": 7}, UploadError, "make 92160"),
        ({"digest": "../../../etc/passwd"}, UploadError, "not a SHA-256"),
        ({"digest": "A" * 64}, UploadError, "not a SHA-256"),
        *(({"voxel_type": number}, VolumeError, "not supported") for number in (0, 8, -1, 255)),
    ],
)
async def test_a_header_that_cannot_be_right_is_refused(
    images: ImageStore, changes: dict[str, Any], error: type[SixpointError], words: str
) -> None:
    with pytest.raises(error, match=words):
        async with images.upload(header_of(noisy_volume(), **changes), principal=NOBODY):
            pass


async def test_an_image_of_one_slice_is_refused(images: ImageStore) -> None:
    with pytest.raises(VolumeError, match="at least two voxels along each axis"):
        async with images.upload(header_of(noisy_volume((40, 36, 1))), principal=NOBODY):
            pass


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
async def test_voxels_that_are_not_finite_are_counted_and_refused(
    images: ImageStore, tmp_path: Path, value: float
) -> None:
    volume = noisy_volume(dtype="float32")
    volume.array[3, 4, 5:7] = value
    with pytest.raises(VolumeError, match="2 voxels"):
        await upload_image(images, volume)
    assert image_folders(tmp_path) == set()


async def test_the_quota_of_the_disk_is_enforced_and_no_image_is_removed_for_it(tmp_path: Path) -> None:
    async with open_store(tmp_path, disk=200_000) as images:
        first, second, third = (noisy_volume((40, 36, 32 - n)) for n in range(3))
        await upload_image(images, first)
        await upload_image(images, second)
        with pytest.raises(StorageFull, match=r"among the 200000 .*SIXPOINT_DISK_BYTES") as caught:
            await upload_image(images, third)
        assert "181440" not in str(caught.value), "that would tell what others have sent"
        assert caught.value.retry_after
        assert await images.open(first.digest, tenant="default")
        assert await images.open(second.digest, tenant="default")


async def test_a_running_upload_takes_space_as_it_arrives(tmp_path: Path) -> None:
    async with open_store(tmp_path, disk=100_000) as images:
        first, second = noisy_volume(), noisy_volume((40, 36, 31))
        data = first.array.tobytes()
        # A header that announces much, and sends nothing, takes nothing from others.
        async with images.upload(header_of(first), principal=NOBODY) as upload:
            await upload_image(images, second)
            with pytest.raises(StorageFull, match=r"no room for 30000 bytes .* among the 100000 .*SIXPOINT_DISK_BYTES"):
                await upload.write(data[:30_000])


async def test_running_and_abandoned_uploads_count(tmp_path: Path) -> None:
    async with open_store(tmp_path, disk=100_000) as images:
        first, second = noisy_volume(), noisy_volume((40, 36, 31))
        async with images.upload(header_of(first), principal=NOBODY) as upload:
            await upload.write(first.array.tobytes()[:50_000])
            with pytest.raises(StorageFull):
                await upload_image(images, second)
        await start_upload(images, first, 50_000)
        with pytest.raises(StorageFull):
            await upload_image(images, second)
        # One that is continued counts before it sends anything.
        async with images.upload(header_of(first), offset=50_000, principal=NOBODY):
            with pytest.raises(StorageFull):
                await upload_image(images, second)
        await upload_image(images, first, offset=50_000)


async def test_two_gateways_share_the_quota(tmp_path: Path, database_url: str) -> None:
    folder = tmp_path / "other machine"
    folder.mkdir()
    async with (
        open_store(tmp_path, url=database_url, disk=100_000) as one,
        open_store(folder, url=database_url, blobs=str(tmp_path / "blobs"), disk=100_000) as other,
    ):
        first, second = noisy_volume(), noisy_volume((40, 36, 31))
        async with (
            one.upload(header_of(first), principal=NOBODY) as upload,
            other.upload(header_of(second), principal=NOBODY) as faster,
        ):
            await upload.write(first.array.tobytes())
            await faster.write(second.array.tobytes())
            await faster.finish()
            with pytest.raises(StorageFull):
                await upload.finish()
        assert not blob_path(tmp_path, first).exists()
        assert await one.open(second.digest, tenant="default")


async def test_an_upload_that_is_refused_at_its_end_leaves_a_blob_that_was_there_before(tmp_path: Path) -> None:
    first, second = noisy_volume(), noisy_volume((40, 36, 31))
    async with open_store(tmp_path) as images:
        await upload_image(images, first)
    # Its record was lost.
    (tmp_path / "sixpoint.db").unlink()
    folder, url = tmp_path / "other machine", f"sqlite:///{tmp_path}/sixpoint.db"
    folder.mkdir()
    async with (
        open_store(tmp_path, disk=100_000) as one,
        open_store(folder, url=url, disk=100_000) as other,
        one.upload(header_of(first), principal=NOBODY) as upload,
    ):
        await upload.write(first.array.tobytes())
        await upload_image(other, second)
        with pytest.raises(StorageFull):
            await upload.finish()
    assert blob_path(tmp_path, first).exists()


async def test_an_owner_has_a_quota(tmp_path: Path) -> None:
    async with open_store(tmp_path, owner=100_000) as images:
        first, second = noisy_volume(), noisy_volume((40, 36, 31))
        await upload_image(images, first, principal=caller("a"))
        with pytest.raises(StorageFull, match="SIXPOINT_OWNER_IMAGE_BYTES"):
            await upload_image(images, second, principal=caller("a"))
        await upload_image(images, second, principal=caller("b"))
        # What ended early counts as well.
        await start_upload(images, noisy_volume((40, 36, 30)), 60_000, principal=caller("c"))
        with pytest.raises(StorageFull, match="SIXPOINT_OWNER_IMAGE_BYTES"):
            await upload_image(images, noisy_volume((40, 36, 29)), principal=caller("c"))
        # One that is here costs nobody anything.
        await upload_image(images, second, principal=caller("a"))


async def test_a_full_disk_is_reported_and_leaves_no_file(tmp_path: Path) -> None:
    large, small = noisy_volume((200, 200, 100)), noisy_volume()
    with small_disk(tmp_path / "disk", megabytes=4) as disk:
        async with open_store(disk, image=10 * MEGABYTE, disk=100 * MEGABYTE) as images:
            with pytest.raises(StorageFull, match="disk is full"):
                await upload_image(images, large)
            assert image_folders(disk) == set()
            await upload_image(images, small)
            assert np.array_equal((await images.open(small.digest, tenant="default")).volume.array, small.array)
