"""Removal of unused images, abandoned uploads and files over the budget of the cache."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import delete, insert, select, update

from gateway.core.images import ImageStore
from gateway.core.images.stored_image import is_digest
from gateway.storage import Blobs, Database
from gateway.storage.schema import images as images_table
from gateway.storage.schema import sessions
from sixpoint.errors import ImageNotFound, StorageUnavailable
from tests.gateway.core.images.image_stores import (
    blob_path,
    header_of,
    image_folders,
    open_store,
    start_upload,
    upload_image,
)
from tests.support.callers import NOBODY
from tests.support.disks import small_disk
from tests.support.images import noisy_volume


async def test_an_unused_image_is_removed(tmp_path: Path, database_url: str) -> None:
    used, in_session, unused = (noisy_volume((40, 36, 32 - n)) for n in range(3))
    async with open_store(tmp_path, url=database_url) as images:
        for volume in (used, in_session, unused):
            await upload_image(images, volume)
        held = await images.open(unused.digest, tenant="default")
        database = Database(database_url)
        await database.write(
            lambda conn: conn.execute(
                update(images_table).where(images_table.c.digest != used.digest).values(used=1.0, created=1.0)
            )
        )
        row = {"id": "s", "owner": "", "model": "m", "revision": 0, "created": 0, "used": 0, "expired": 0}
        await database.write(lambda conn: conn.execute(insert(sessions).values(image_digest=in_session.digest, **row)))
        assert await images.expire() == 1
        with pytest.raises(ImageNotFound):
            await images.open(unused.digest, tenant="default")
        assert await images.open(used.digest, tenant="default")
        assert await images.open(in_session.digest, tenant="default")
        assert not blob_path(tmp_path, unused).exists()
        assert np.array_equal(held.volume.array, unused.array)
        await database.write(lambda conn: conn.execute(update(sessions).values(ended=1.0)))
        await database.write(lambda conn: conn.execute(update(images_table).values(used=1.0)))
        assert await images.expire() == 2
        assert image_folders(tmp_path / "cache") | image_folders(tmp_path / "blobs") == set()
        await database.stop()


async def test_images_that_cannot_be_removed_do_not_stop_the_removal_of_others(
    tmp_path: Path, database_url: str
) -> None:
    volume, left = noisy_volume(), noisy_volume((40, 36, 31))
    async with open_store(tmp_path, url=database_url, cache=1) as images:
        await upload_image(images, volume)
        await start_upload(images, left, 5000)
        os.utime(tmp_path / "cache" / "uploads" / left.digest, (1.0, 1.0))
        over_budget = [tmp_path / "cache" / "images" / name for name in "ab"]
        for path in over_budget:
            path.write_bytes(b"voxels")
        database = Database(database_url)
        await database.write(lambda conn: conn.execute(update(images_table).values(used=2.0)))
        stuck = await add_stuck(database, tmp_path / "blobs", count=2)
        for _ in range(2):
            with pytest.raises(StorageUnavailable):
                await images.expire()
        assert await records_left(database) == stuck
        assert not blob_path(tmp_path, volume).exists()
        assert list((tmp_path / "cache" / "uploads").iterdir()) == []
        assert sum(path.exists() for path in over_budget) == 1
        await database.stop()


async def test_more_stuck_images_than_one_run_looks_at_do_not_hide_the_others(tmp_path: Path) -> None:
    volume, other = noisy_volume(), noisy_volume((40, 36, 31))
    async with open_store(tmp_path) as images:
        await upload_image(images, volume)
        database = Database(f"sqlite:///{tmp_path}/sixpoint.db")
        await database.write(lambda conn: conn.execute(update(images_table).values(used=2.0)))
        stuck = await add_stuck(database, tmp_path / "blobs", count=120)
        await collect(images, times=41)
        assert await records_left(database) == stuck
        # They begin anew, with what nobody uses any more since.
        await upload_image(images, other)
        await database.write(
            lambda conn: conn.execute(
                update(images_table).where(images_table.c.digest == other.digest).values(used=0.5)
            )
        )
        await collect(images, times=41)
        assert await records_left(database) == stuck
        await database.stop()


async def collect(images: ImageStore, *, times: int) -> None:
    for _ in range(times):
        with contextlib.suppress(StorageUnavailable):
            await images.expire()


async def add_stuck(database: Database, blobs: Path, *, count: int) -> set[str]:
    """Images used one after another, but all before 2.0, whose blobs cannot be deleted: folders are in their places."""
    geometry = {"size": (2, 2, 2), "spacing": (1, 1, 1), "origin": (0, 0, 0), "direction": (1, 0, 0, 0, 1, 0, 0, 0, 1)}
    digests = [f"{number:064x}" for number in range(count)]
    for digest in digests:
        (blobs / "images" / digest[:2] / digest).mkdir(parents=True)
    rows = [
        {
            "digest": digest,
            "geometry": geometry,
            "voxel_type": 3,
            "byte_count": 16,
            "owner": "",
            "created": 1.0,
            "used": 1.0 + number // 2 / count,
        }
        for number, digest in enumerate(digests)
    ]
    await database.write(lambda conn: conn.execute(insert(images_table), rows))
    return set(digests)


async def records_left(database: Database) -> set[str]:
    return set(await database.read(lambda conn: conn.execute(select(images_table.c.digest)).scalars().all()))


async def test_a_blob_without_a_record_is_removed_with_its_upload(tmp_path: Path, database_url: str) -> None:
    volume = noisy_volume()
    async with open_store(tmp_path, url=database_url) as images:
        await start_upload(images, volume, volume.array.nbytes - 1)
        # As if the gateway had been killed between the two.
        leftover = tmp_path / "cache" / "uploads" / volume.digest
        await Blobs(str(tmp_path / "blobs")).put_file(f"images/{volume.digest[:2]}/{volume.digest}", leftover)
        await images.expire()
        assert blob_path(tmp_path, volume).exists()
        os.utime(leftover, (1.0, 1.0))
        await images.expire()
        assert image_folders(tmp_path) == set()


async def test_an_abandoned_upload_removes_no_blob_that_it_did_not_store(tmp_path: Path) -> None:
    volume = noisy_volume()
    async with open_store(tmp_path) as images:
        await upload_image(images, volume)
    newest = (tmp_path / "sixpoint.db").read_bytes()
    database = Database(f"sqlite:///{tmp_path}/sixpoint.db")
    await database.write(lambda conn: conn.execute(delete(images_table)))
    async with open_store(tmp_path) as images:
        # On a database that has lost the record, somebody begins to send the image again.
        await start_upload(images, volume, 5000)
        os.utime(tmp_path / "cache" / "uploads" / volume.digest, (1.0, 1.0))
        await images.expire()
        assert list((tmp_path / "cache" / "uploads").iterdir()) == []
    await database.stop()
    (tmp_path / "sixpoint.db").write_bytes(newest)
    async with open_store(tmp_path) as images:
        shutil.rmtree(tmp_path / "cache" / "images")
        (tmp_path / "cache" / "images").mkdir()
        assert np.array_equal((await images.open(volume.digest, tenant="default")).volume.array, volume.array)


async def test_describing_an_image_counts_as_use(tmp_path: Path) -> None:
    volume = noisy_volume()
    async with open_store(tmp_path) as images:
        await upload_image(images, volume)
        database = Database(f"sqlite:///{tmp_path}/sixpoint.db")
        await database.write(lambda conn: conn.execute(update(images_table).values(used=1.0)))
        await images.describe(volume.digest, principal=NOBODY)
        assert await images.expire() == 0
        await database.stop()


async def test_an_abandoned_upload_is_removed_after_a_while_but_not_a_running_one(tmp_path: Path) -> None:
    volume, other = noisy_volume(), noisy_volume((40, 36, 31))
    async with open_store(tmp_path) as images:
        await start_upload(images, volume, 5000)
        async with images.upload(header_of(other), principal=NOBODY) as upload:
            await upload.write(b"x" * 100)
            for path in (tmp_path / "cache" / "uploads").iterdir():
                os.utime(path, (1.0, 1.0))
            await images.expire()
            assert [path.name for path in (tmp_path / "cache" / "uploads").iterdir()] == [other.digest]
        assert await images.received(volume.digest, principal=NOBODY) == 0


async def test_files_over_the_budget_of_the_cache_are_removed_and_fetched_again(tmp_path: Path) -> None:
    volumes = [noisy_volume((40, 36, 32 - n)) for n in range(3)]
    # The blob store is on another disk: its files are copies.
    with small_disk(tmp_path / "disk", megabytes=4) as disk:
        async with open_store(tmp_path, blobs=str(disk), cache=200_000) as images:
            for volume in volumes:
                await upload_image(images, volume)
                await images.open(volume.digest, tenant="default")
            held = await images.open(volumes[0].digest, tenant="default")
            await images.expire()
            kept = [path.name for path in (tmp_path / "cache" / "images").iterdir() if is_digest(path.name)]
            assert sorted(kept) == sorted(volume.digest for volume in volumes[1:])
            assert np.array_equal(held.volume.array, volumes[0].array)
            for volume in volumes:
                assert np.array_equal((await images.open(volume.digest, tenant="default")).volume.array, volume.array)
            assert sum(path.stat().st_size for path in (tmp_path / "cache" / "images").iterdir()) <= 200_000
            await images.open(volumes[1].digest, tenant="default")
            (tmp_path / "cache" / "images" / f"{'0' * 64}.used").touch()
            os.utime(tmp_path / "cache" / "images" / f"{'0' * 64}.used", (1.0, 1.0))
            await images.expire()
            names = sorted(path.name for path in (tmp_path / "cache" / "images").iterdir())
            assert names == sorted(f"{volume.digest}{end}" for volume in volumes[1:] for end in ("", ".used"))
