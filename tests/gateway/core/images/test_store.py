"""Images in the store: found, cached, shared, and repaired."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from pathlib import Path

import numpy as np
import pytest

from gateway.core.images import ImageKey, ImageStore, disk_cache
from gateway.storage import Blobs
from sixpoint.errors import (
    ImageNotFound,
)
from sixpoint.geometry import Geometry
from sixpoint.volume import Volume, image_digest
from tests.gateway.core.images.image_stores import (
    blob_path,
    open_store,
    upload_image,
)
from tests.support.callers import NOBODY
from tests.support.images import noisy_volume


async def test_an_image_uploaded_in_pieces_is_found_by_its_digest(tmp_path: Path, database_url: str) -> None:
    volume = noisy_volume()
    async with open_store(tmp_path, url=database_url) as images:
        await upload_image(images, volume)
        found = await images.open(volume.digest, tenant="default")
        assert np.array_equal(found.volume.array, volume.array)
        assert found.volume.geometry == volume.geometry
        assert not found.volume.array.flags.writeable
        assert await images.open(volume.digest, tenant="default") is found
        record = await images.describe(volume.digest, principal=NOBODY)
        assert (record.geometry, record.voxel_type, record.byte_count) == (volume.geometry, 3, volume.array.nbytes)
        assert await images.received(volume.digest, principal=NOBODY) == volume.array.nbytes
    async with open_store(tmp_path, url=database_url) as images:
        assert np.array_equal((await images.open(volume.digest, tenant="default")).volume.array, volume.array)


async def test_an_image_needs_one_copy_on_one_file_system(images: ImageStore, tmp_path: Path) -> None:
    volume = noisy_volume()
    await upload_image(images, volume)
    assert blob_path(tmp_path, volume).stat().st_nlink == 2


def test_the_digest_covers_the_geometry_and_the_voxel_type() -> None:
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


async def test_an_unknown_image_is_not_found(images: ImageStore) -> None:
    for digest in ("0" * 64, "", "../../etc/passwd"):
        with pytest.raises(ImageNotFound):
            await images.open(digest, tenant="default")
        with pytest.raises(ImageNotFound):
            await images.describe(digest, principal=NOBODY)
        assert await images.received(digest, principal=NOBODY) == 0


async def test_a_damaged_blob_is_never_served_and_can_be_uploaded_again(
    tmp_path: Path, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    volume = noisy_volume()
    async with open_store(tmp_path, url=database_url) as images:
        await upload_image(images, volume)
    with blob_path(tmp_path, volume).open("r+b") as file:
        file.seek(1000)
        file.write(b"damaged")
    async with open_store(tmp_path, url=database_url) as images:
        with caplog.at_level(logging.ERROR), pytest.raises(ImageNotFound, match="upload it again"):
            await images.open(volume.digest, tenant="default")
        assert [record.levelname for record in caplog.records] == ["ERROR"]
        assert volume.digest not in caplog.text
        assert not blob_path(tmp_path, volume).exists()
        with pytest.raises(ImageNotFound):
            await images.describe(volume.digest, principal=NOBODY)
        await upload_image(images, volume)
        assert np.array_equal((await images.open(volume.digest, tenant="default")).volume.array, volume.array)


async def test_damage_is_detected_while_the_image_is_in_memory(images: ImageStore, tmp_path: Path) -> None:
    volume = noisy_volume()
    await upload_image(images, volume)
    await images.open(volume.digest, tenant="default")
    with blob_path(tmp_path, volume).open("r+b") as file:
        file.write(b"damaged")
    with pytest.raises(ImageNotFound):
        await images.open(volume.digest, tenant="default")


@pytest.mark.parametrize("in_memory", [True, False])
async def test_damage_is_detected_though_the_time_of_modification_was_set_back(
    images: ImageStore, tmp_path: Path, in_memory: bool
) -> None:
    volume = noisy_volume()
    await upload_image(images, volume)
    await images.open(volume.digest, tenant="default")
    path = blob_path(tmp_path, volume)
    before = path.stat()
    with path.open("r+b") as file:
        file.write(b"damaged")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    if not in_memory:
        images._memory_cache.drop(ImageKey("default", volume.digest))
    with pytest.raises(ImageNotFound):
        await images.open(volume.digest, tenant="default")


async def test_a_file_is_hashed_once_in_each_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = noisy_volume()
    hashed = []
    begin = disk_cache.begin_digest

    def counted(geometry: Geometry, voxel_type: int) -> hashlib._Hash:
        hashed.append(voxel_type)
        return begin(geometry, voxel_type)

    monkeypatch.setattr(disk_cache, "begin_digest", counted)
    # Two gateways that share the folder, as two processes do.
    async with open_store(tmp_path) as one, open_store(tmp_path) as other:
        await upload_image(one, volume)
        for images in (one, other) * 3:
            await images.open(volume.digest, tenant="default")
            await images.expire()
        assert len(hashed) == 1, "the one that received it has hashed it as it came"
        (tmp_path / "cache" / "images" / volume.digest).unlink()
        for images in (one, other) * 3:
            await images.open(volume.digest, tenant="default")
        assert len(hashed) == 3


async def test_a_damaged_file_of_the_cache_is_fetched_again(tmp_path: Path) -> None:
    volume = noisy_volume()
    async with open_store(tmp_path) as images:
        await upload_image(images, volume)
    cached = tmp_path / "cache" / "images" / volume.digest
    cached.unlink()
    cached.write_bytes(b"short")
    async with open_store(tmp_path) as images:
        assert np.array_equal((await images.open(volume.digest, tenant="default")).volume.array, volume.array)


async def test_an_image_without_its_blob_is_not_found(tmp_path: Path) -> None:
    volume = noisy_volume()
    async with open_store(tmp_path) as images:
        await upload_image(images, volume)
    blob_path(tmp_path, volume).unlink()
    (tmp_path / "cache" / "images" / volume.digest).unlink()
    async with open_store(tmp_path) as images:
        with pytest.raises(ImageNotFound):
            await images.open(volume.digest, tenant="default")
        await upload_image(images, volume)


async def test_an_image_is_not_lost_if_another_gateway_removes_its_file_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = noisy_volume()
    cached = tmp_path / "cache" / "images" / volume.digest
    async with open_store(tmp_path) as images:
        await upload_image(images, volume)
        cached.unlink()
        replace = Path.replace

        def replaced_and_trimmed(source: Path, target: Path) -> Path:
            placed = replace(source, target)
            if placed == cached:
                placed.unlink()
            return placed

        monkeypatch.setattr(Path, "replace", replaced_and_trimmed)
        assert np.array_equal((await images.open(volume.digest, tenant="default")).volume.array, volume.array)
        assert (await images.describe(volume.digest, principal=NOBODY)).digest == volume.digest
        assert blob_path(tmp_path, volume).exists()


async def test_a_file_being_fetched_is_not_removed_though_its_blob_is_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = noisy_volume()
    async with open_store(tmp_path) as images, open_store(tmp_path) as other:
        await upload_image(images, volume)
        (tmp_path / "cache" / "images" / volume.digest).unlink()
        os.utime(blob_path(tmp_path, volume), (0, 0))
        fetch = Blobs.get_to_file

        async def fetched_while_another_trims(blobs: Blobs, key: str, path: Path) -> bool:
            found = await fetch(blobs, key, path)
            await other.expire()
            return found

        monkeypatch.setattr(Blobs, "get_to_file", fetched_while_another_trims)
        assert np.array_equal((await images.open(volume.digest, tenant="default")).volume.array, volume.array)


async def test_concurrent_calls_share_one_image_even_if_one_is_cancelled(tmp_path: Path) -> None:
    volume = noisy_volume()
    async with open_store(tmp_path) as images:
        await upload_image(images, volume)
    async with open_store(tmp_path) as images:
        asking = [asyncio.create_task(images.open(volume.digest, tenant="default")) for _ in range(5)]
        await asyncio.sleep(0)
        asking[0].cancel()
        found = await asyncio.gather(*asking[1:])
        assert len({id(image) for image in found}) == 1


async def test_an_object_store_serves_other_machines(tmp_path: Path, s3_environment: None) -> None:
    volume = noisy_volume()
    url = f"sqlite:///{tmp_path}/sixpoint.db"
    async with (
        open_store(tmp_path / "one", url=url, blobs="s3://images/shared") as one,
        open_store(tmp_path / "other", url=url, blobs="s3://images/shared") as other,
    ):
        await upload_image(one, volume)
        assert np.array_equal((await other.open(volume.digest, tenant="default")).volume.array, volume.array)
        source = tmp_path / "source"
        source.write_bytes(bytes(volume.array.nbytes))
        await Blobs("s3://images/shared").put_file(f"images/{volume.digest[:2]}/{volume.digest}", source)
        (tmp_path / "other" / "cache" / "images" / volume.digest).unlink()
        with pytest.raises(ImageNotFound):
            await other.open(volume.digest, tenant="default")
        await upload_image(other, volume)
        assert np.array_equal((await other.open(volume.digest, tenant="default")).volume.array, volume.array)


async def test_memory_for_reductions_is_bounded_and_the_images_used_last_keep_theirs(tmp_path: Path) -> None:
    volumes = [noisy_volume((40, 36, 32 - n)) for n in range(3)]
    async with open_store(tmp_path, memory=30_000) as images:
        for volume in volumes:
            await upload_image(images, volume)
        first, second, third = [await images.open(volume.digest, tenant="default") for volume in volumes]
        for image in (first, second, third):
            z, y, x = (slice(0, n) for n in image.reduced((2, 2, 1)).shape)
            assert image.reduced((2, 2, 1))[z, y, x].nbytes == image.reduced.nbytes > 40_000
        assert await images.open(third.digest, tenant="default") is third
        assert await images.open(first.digest, tenant="default") is not first


async def test_the_canonical_view_shares_the_voxels(images: ImageStore) -> None:
    volume = Volume(noisy_volume().array, Geometry(size=(40, 36, 32), direction=(-1, 0, 0, 0, 0, 1, 0, 1, 0)))
    await upload_image(images, volume)
    image = await images.open(volume.digest, tenant="default")
    assert np.shares_memory(image.canonical, image.volume.array)
    assert image.canonical.shape == image.canonical_geometry.shape == (36, 32, 40)
