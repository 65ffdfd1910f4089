import asyncio
import hashlib
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from gateway.core.images import ImageHeader, ImageLimits, ImageStore
from gateway.core.images.upload_files import UploadFile, UploadFolder
from gateway.storage import Blobs, Database, image_repository
from sixpoint.errors import (
    ChecksumMismatch,
    ImageNotFound,
    ResourceExhausted,
    StorageFull,
    StorageUnavailable,
    UploadError,
    VolumeError,
)
from sixpoint.geometry import Geometry
from sixpoint.volume import Volume, image_digest, voxel_type_number
from tests.support.disks import small_disk
from tests.support.images import noisy_volume
from tests.support.paths import ROOT
from tests.support.postgresql import PostgreSQL

MEGABYTE = 1_000_000


def header_of(volume: Volume, **changes: object) -> ImageHeader:
    values = {
        "digest": volume.digest,
        "geometry": volume.geometry,
        "voxel_type": voxel_type_number(volume.array.dtype),
        "byte_count": volume.array.nbytes,
    }
    return ImageHeader(**(values | changes))


@asynccontextmanager
async def opened(folder: Path, *, url: str = "", blobs: str = "", **limits: float) -> AsyncIterator[ImageStore]:
    """Images in a folder; the same folder twice is two gateways that share it."""
    database = Database(url or f"sqlite:///{folder}/sixpoint.db")
    bounds = {
        "image": MEGABYTE,
        "disk": MEGABYTE,
        "owner": 0,
        "cache": MEGABYTE,
        "memory": MEGABYTE,
        "idle": 1000.0,
    } | limits
    images = ImageStore(
        repository=image_repository(database),
        blobs=Blobs(blobs or str(folder / "blobs")),
        folder=folder / "cache",
        limits=ImageLimits(**bounds),
    )
    async with AsyncExitStack() as stack:
        for part in (database, images):
            stack.push_async_callback(part.stop)
            await part.start()
        yield images


@pytest.fixture
async def images(tmp_path: Path) -> AsyncIterator[ImageStore]:
    async with opened(tmp_path) as images:
        yield images


async def put(images: ImageStore, volume: Volume, *, pieces: int = 3, offset: int = 0, owner: str = "") -> None:
    data = volume.array.tobytes()[offset:]
    step = max(1, -(-len(data) // pieces))
    async with images.upload(header_of(volume), offset=offset, owner=owner) as upload:
        for start in range(0, len(data), step):
            await upload.write(data[start : start + step])
        await upload.finish()


async def begin(images: ImageStore, volume: Volume, count: int) -> None:
    """Send the first bytes, and go away."""
    with pytest.raises(UploadError, match="ended early"):
        await send(images, volume, volume.array.tobytes()[:count])


async def send(images: ImageStore, volume: Volume, data: bytes) -> None:
    """Send these bytes as an image's."""
    async with images.upload(header_of(volume)) as upload:
        await upload.write(data)
        await upload.finish()


def files(folder: Path) -> set[str]:
    """Where there are files of voxels or parts of them."""
    return {str(path.parent.name) for path in folder.rglob("*") if path.is_file() and "sixpoint.db" not in path.name}


def blob_of(folder: Path, volume: Volume) -> Path:
    return folder / "blobs" / "images" / volume.digest[:2] / volume.digest


async def test_an_image_uploaded_in_pieces_is_found_by_its_digest(tmp_path: Path, database_url: str):
    volume = noisy_volume()
    async with opened(tmp_path, url=database_url) as images:
        await put(images, volume)
        found = await images.open(volume.digest)
        assert np.array_equal(found.volume.array, volume.array)
        assert found.volume.geometry == volume.geometry
        assert not found.volume.array.flags.writeable
        assert await images.open(volume.digest) is found
        record = await images.describe(volume.digest)
        assert (record.geometry, record.voxel_type, record.byte_count) == (volume.geometry, 3, volume.array.nbytes)
        assert await images.received(volume.digest) == volume.array.nbytes
    async with opened(tmp_path, url=database_url) as images:
        assert np.array_equal((await images.open(volume.digest)).volume.array, volume.array)


async def test_an_image_needs_one_copy_on_one_file_system(images: ImageStore, tmp_path: Path):
    volume = noisy_volume()
    await put(images, volume)
    assert blob_of(tmp_path, volume).stat().st_nlink == 2


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


async def test_an_image_that_is_not_here_is_not_found(images: ImageStore):
    for digest in ("0" * 64, "", "../../etc/passwd"):
        with pytest.raises(ImageNotFound):
            await images.open(digest)
        with pytest.raises(ImageNotFound):
            await images.describe(digest)
        assert await images.received(digest) == 0


async def test_an_upload_that_ends_early_is_no_image_and_can_be_continued(images: ImageStore, tmp_path: Path):
    volume = noisy_volume()
    await begin(images, volume, 1001)
    with pytest.raises(ImageNotFound):
        await images.open(volume.digest)
    assert await images.received(volume.digest) == 1001
    await put(images, volume, offset=1001)
    assert np.array_equal((await images.open(volume.digest)).volume.array, volume.array)
    assert files(tmp_path / "cache") == {"images"}


async def test_an_upload_may_always_begin_anew(images: ImageStore):
    volume = noisy_volume()
    await begin(images, volume, 1001)
    await put(images, volume)
    assert await images.open(volume.digest)


async def test_an_offset_other_than_what_arrived_is_refused_with_the_right_one(images: ImageStore):
    volume = noisy_volume()
    await begin(images, volume, 1001)
    with pytest.raises(UploadError, match="1001 bytes of this image have arrived, the offset is 7"):
        await put(images, volume, offset=7)
    assert await images.received(volume.digest) == 1001


async def test_an_upload_cancelled_in_the_middle_can_be_continued(images: ImageStore):
    volume = noisy_volume()
    sent = asyncio.Event()

    async def send() -> None:
        async with images.upload(header_of(volume)) as upload:
            await upload.write(volume.array.tobytes()[:5000])
            sent.set()
            await asyncio.sleep(60)

    sending = asyncio.create_task(send())
    await sent.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert await images.received(volume.digest) == 5000
    await put(images, volume, offset=5000)


async def test_an_upload_cancelled_while_its_file_is_claimed_can_be_continued(
    images: ImageStore, monkeypatch: pytest.MonkeyPatch
):
    volume = noisy_volume()
    await begin(images, volume, 1001)
    claimed, go_on = threading.Event(), threading.Event()
    claim = UploadFolder.claim

    def slow_claim(folder: UploadFolder, header: ImageHeader, *, offset: int) -> UploadFile:
        file = claim(folder, header, offset=offset)
        claimed.set()
        go_on.wait()
        return file

    monkeypatch.setattr(UploadFolder, "claim", slow_claim)
    sending = asyncio.create_task(put(images, volume, offset=1001))
    await asyncio.to_thread(claimed.wait)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    go_on.set()
    monkeypatch.undo()
    assert await images.received(volume.digest) == 1001
    await put(images, volume, offset=1001)


async def test_an_upload_cancelled_again_while_no_thread_is_free_to_close_its_file_can_be_continued(images: ImageStore):
    volume = noisy_volume()
    sent, go_on = asyncio.Event(), threading.Event()

    async def send() -> None:
        async with images.upload(header_of(volume)) as upload:
            await upload.write(volume.array.tobytes()[:5000])
            for _ in range(images._threads._max_workers):
                images._threads.submit(go_on.wait)
            sent.set()
            await asyncio.Event().wait()

    sending = asyncio.create_task(send())
    await sent.wait()
    for _ in range(2):
        sending.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await sending
    go_on.set()
    assert await images.received(volume.digest) == 5000
    await put(images, volume, offset=5000)


async def test_bytes_that_the_disk_changed_meanwhile_are_found_and_the_next_upload_begins_anew(
    images: ImageStore, tmp_path: Path
):
    volume = noisy_volume()
    await begin(images, volume, 1001)
    with (tmp_path / "cache" / "uploads" / volume.digest).open("r+b") as file:
        file.write(b"damaged")
    with pytest.raises(ChecksumMismatch):
        await put(images, volume, offset=1001)
    assert await images.received(volume.digest) == 0
    await put(images, volume)


async def test_two_uploads_of_one_image_at_once_do_not_disturb_each_other(tmp_path: Path):
    volume = noisy_volume()
    data = volume.array.tobytes()
    async with opened(tmp_path) as one, opened(tmp_path) as other:
        async with one.upload(header_of(volume)) as first, other.upload(header_of(volume)) as second:
            for start in range(0, len(data), 10_000):
                await first.write(data[start : start + 10_000])
                await second.write(data[start : start + 10_000])
            await first.finish()
            await second.finish()
        assert np.array_equal((await one.open(volume.digest)).volume.array, volume.array)
        assert np.array_equal((await other.open(volume.digest)).volume.array, volume.array)
    assert files(tmp_path / "cache") == {"images"}
    assert len(list((tmp_path / "cache" / "images").iterdir())) == 1


async def test_more_bytes_than_announced_are_refused_when_they_come(images: ImageStore, tmp_path: Path):
    volume = noisy_volume()
    with pytest.raises(UploadError, match="announced 92160"):
        await send(images, volume, volume.array.tobytes() + b"x")
    assert files(tmp_path) == set()


async def test_other_bytes_than_announced_are_refused_and_leave_nothing(images: ImageStore, tmp_path: Path):
    volume = noisy_volume()
    data = bytearray(volume.array.tobytes())
    data[1000] ^= 1
    with pytest.raises(ChecksumMismatch):
        await send(images, volume, bytes(data))
    assert files(tmp_path) == set()


async def test_a_header_that_claims_a_hundred_gigabytes_takes_no_disk(images: ImageStore, tmp_path: Path):
    geometry = Geometry(size=(10_000, 10_000, 500))
    claim = ImageHeader(digest="0" * 64, geometry=geometry, voxel_type=3, byte_count=100_000_000_000)
    with pytest.raises(ResourceExhausted, match="at most 1000000"):
        async with images.upload(claim):
            pass
    assert files(tmp_path) == set()


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"byte_count": 7}, UploadError, "make 92160"),
        ({"digest": "../../../etc/passwd"}, UploadError, "not a SHA-256"),
        ({"digest": "A" * 64}, UploadError, "not a SHA-256"),
        *(({"voxel_type": number}, VolumeError, "not supported") for number in (0, 8, -1, 255)),
    ],
)
async def test_a_header_that_cannot_be_true_is_refused(images: ImageStore, changes, error, words: str):
    with pytest.raises(error, match=words):
        async with images.upload(header_of(noisy_volume(), **changes)):
            pass


async def test_an_image_of_one_slice_is_refused(images: ImageStore):
    with pytest.raises(VolumeError, match="at least two voxels along each axis"):
        async with images.upload(header_of(noisy_volume((40, 36, 1)))):
            pass


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
async def test_voxels_that_are_no_numbers_are_counted_and_refused(images: ImageStore, tmp_path: Path, value: float):
    volume = noisy_volume(dtype="float32")
    volume.array[3, 4, 5:7] = value
    with pytest.raises(VolumeError, match="2 voxels"):
        await put(images, volume)
    assert files(tmp_path) == set()


async def test_the_budget_of_the_disk_is_kept_and_nothing_makes_room(tmp_path: Path):
    async with opened(tmp_path, disk=200_000) as images:
        first, second, third = (noisy_volume((40, 36, 32 - n)) for n in range(3))
        await put(images, first)
        await put(images, second)
        with pytest.raises(StorageFull, match=r"181440 of 200000 .*SIXPOINT_DISK_BYTES") as caught:
            await put(images, third)
        assert caught.value.retry_after
        assert await images.open(first.digest)
        assert await images.open(second.digest)


async def test_running_uploads_and_what_is_left_of_others_count(tmp_path: Path):
    async with opened(tmp_path, disk=100_000) as images:
        first, second = noisy_volume(), noisy_volume((40, 36, 31))
        async with images.upload(header_of(first)):
            with pytest.raises(StorageFull):
                await put(images, second)
        await begin(images, first, 50_000)
        with pytest.raises(StorageFull):
            await put(images, second)
        await put(images, first, offset=50_000)


async def test_two_gateways_keep_the_budget_together(tmp_path: Path, database_url: str):
    async with (
        opened(tmp_path, url=database_url, disk=100_000) as one,
        opened(tmp_path, url=database_url, disk=100_000) as other,
    ):
        first, second = noisy_volume(), noisy_volume((40, 36, 31))
        async with one.upload(header_of(first)) as upload, other.upload(header_of(second)) as faster:
            await upload.write(first.array.tobytes())
            await faster.write(second.array.tobytes())
            await faster.finish()
            with pytest.raises(StorageFull):
                await upload.finish()
        assert not blob_of(tmp_path, first).exists()
        assert await one.open(second.digest)


async def test_an_owner_has_a_quota(tmp_path: Path):
    async with opened(tmp_path, owner=100_000) as images:
        first, second = noisy_volume(), noisy_volume((40, 36, 31))
        await put(images, first, owner="a")
        with pytest.raises(StorageFull, match="SIXPOINT_OWNER_IMAGE_BYTES"):
            await put(images, second, owner="a")
        await put(images, second, owner="b")
        # One that is here costs nobody anything.
        await put(images, second, owner="a")


async def test_a_damaged_blob_is_never_served_and_can_be_uploaded_again(
    tmp_path: Path, database_url: str, caplog: pytest.LogCaptureFixture
):
    volume = noisy_volume()
    async with opened(tmp_path, url=database_url) as images:
        await put(images, volume)
    with blob_of(tmp_path, volume).open("r+b") as file:
        file.seek(1000)
        file.write(b"damaged")
    async with opened(tmp_path, url=database_url) as images:
        with caplog.at_level(logging.ERROR), pytest.raises(ImageNotFound, match="upload it again"):
            await images.open(volume.digest)
        assert [record.levelname for record in caplog.records] == ["ERROR"]
        assert volume.digest not in caplog.text
        assert not blob_of(tmp_path, volume).exists()
        with pytest.raises(ImageNotFound):
            await images.describe(volume.digest)
        await put(images, volume)
        assert np.array_equal((await images.open(volume.digest)).volume.array, volume.array)


async def test_damage_is_found_while_the_image_is_at_hand(images: ImageStore, tmp_path: Path):
    volume = noisy_volume()
    await put(images, volume)
    await images.open(volume.digest)
    with blob_of(tmp_path, volume).open("r+b") as file:
        file.write(b"damaged")
    with pytest.raises(ImageNotFound):
        await images.open(volume.digest)


async def test_a_damaged_file_of_the_cache_is_fetched_again(tmp_path: Path):
    volume = noisy_volume()
    async with opened(tmp_path) as images:
        await put(images, volume)
    cached = tmp_path / "cache" / "images" / volume.digest
    cached.unlink()
    cached.write_bytes(b"short")
    async with opened(tmp_path) as images:
        assert np.array_equal((await images.open(volume.digest)).volume.array, volume.array)


async def test_a_blob_that_is_gone_is_not_found(tmp_path: Path):
    volume = noisy_volume()
    async with opened(tmp_path) as images:
        await put(images, volume)
    blob_of(tmp_path, volume).unlink()
    (tmp_path / "cache" / "images" / volume.digest).unlink()
    async with opened(tmp_path) as images:
        with pytest.raises(ImageNotFound):
            await images.open(volume.digest)
        await put(images, volume)


async def test_an_image_whose_file_another_gateway_trims_as_it_is_fetched_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    volume = noisy_volume()
    cached = tmp_path / "cache" / "images" / volume.digest
    async with opened(tmp_path) as images:
        await put(images, volume)
        cached.unlink()
        replace = Path.replace

        def replaced_and_trimmed(source: Path, target: Path) -> Path:
            placed = replace(source, target)
            if placed == cached:
                placed.unlink()
            return placed

        monkeypatch.setattr(Path, "replace", replaced_and_trimmed)
        assert np.array_equal((await images.open(volume.digest)).volume.array, volume.array)
        assert (await images.describe(volume.digest)).digest == volume.digest
        assert blob_of(tmp_path, volume).exists()


async def test_a_file_on_its_way_into_the_cache_is_not_trimmed_though_its_blob_is_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    volume = noisy_volume()
    async with opened(tmp_path) as images, opened(tmp_path) as other:
        await put(images, volume)
        (tmp_path / "cache" / "images" / volume.digest).unlink()
        os.utime(blob_of(tmp_path, volume), (0, 0))
        fetch = Blobs.get_to_file

        async def fetched_while_another_trims(blobs: Blobs, key: str, path: Path) -> bool:
            found = await fetch(blobs, key, path)
            await other.expire()
            return found

        monkeypatch.setattr(Blobs, "get_to_file", fetched_while_another_trims)
        assert np.array_equal((await images.open(volume.digest)).volume.array, volume.array)


async def test_who_asks_at_once_shares_one_image_even_when_one_leaves(tmp_path: Path):
    volume = noisy_volume()
    async with opened(tmp_path) as images:
        await put(images, volume)
    async with opened(tmp_path) as images:
        asking = [asyncio.create_task(images.open(volume.digest)) for _ in range(5)]
        await asyncio.sleep(0)
        asking[0].cancel()
        found = await asyncio.gather(*asking[1:])
        assert len({id(image) for image in found}) == 1


async def test_an_object_store_serves_other_machines(tmp_path: Path, s3_environment: None):
    volume = noisy_volume()
    url = f"sqlite:///{tmp_path}/sixpoint.db"
    async with (
        opened(tmp_path / "one", url=url, blobs="s3://images/shared") as one,
        opened(tmp_path / "other", url=url, blobs="s3://images/shared") as other,
    ):
        await put(one, volume)
        assert np.array_equal((await other.open(volume.digest)).volume.array, volume.array)
        source = tmp_path / "source"
        source.write_bytes(bytes(volume.array.nbytes))
        await Blobs("s3://images/shared").put_file(f"images/{volume.digest[:2]}/{volume.digest}", source)
        (tmp_path / "other" / "cache" / "images" / volume.digest).unlink()
        with pytest.raises(ImageNotFound):
            await other.open(volume.digest)
        await put(other, volume)
        assert np.array_equal((await other.open(volume.digest)).volume.array, volume.array)


async def test_what_is_computed_of_images_is_bounded_and_those_used_last_keep_theirs(tmp_path: Path):
    volumes = [noisy_volume((40, 36, 32 - n)) for n in range(3)]
    async with opened(tmp_path, memory=30_000) as images:
        for volume in volumes:
            await put(images, volume)
        first, second, third = [await images.open(volume.digest) for volume in volumes]
        for image in (first, second, third):
            window = tuple(slice(0, n) for n in image.reduced((2, 2, 1)).shape)
            assert image.reduced((2, 2, 1))[window].nbytes == image.reduced.nbytes > 40_000
        assert await images.open(third.digest) is third
        assert await images.open(first.digest) is not first


async def test_a_full_disk_is_said_leaves_nothing_and_the_next_image_is_kept(tmp_path: Path):
    large, small = noisy_volume((200, 200, 100)), noisy_volume()
    with small_disk(tmp_path / "disk", megabytes=4) as disk:
        async with opened(disk, image=10 * MEGABYTE, disk=100 * MEGABYTE) as images:
            with pytest.raises(StorageFull, match="disk is full"):
                await put(images, large)
            assert files(disk) == set()
            await put(images, small)
            assert np.array_equal((await images.open(small.digest)).volume.array, small.array)


async def test_the_database_goes_away_in_the_middle_and_the_upload_is_continued(tmp_path: Path, postgresql: PostgreSQL):
    volume = noisy_volume()
    async with opened(tmp_path, url=postgresql.database()) as images:

        async def interrupted() -> None:
            async with images.upload(header_of(volume)) as upload:
                await upload.write(volume.array.tobytes())
                postgresql.stop()
                try:
                    await upload.finish()
                finally:
                    postgresql.start()

        with pytest.raises(StorageUnavailable):
            await interrupted()
        assert await images.received(volume.digest) == volume.array.nbytes
        await put(images, volume, offset=volume.array.nbytes)
        assert np.array_equal((await images.open(volume.digest)).volume.array, volume.array)


async def test_killed_in_the_middle_of_an_upload_another_gateway_goes_on_with_it(tmp_path: Path):
    volume = noisy_volume((100, 100, 40))
    (tmp_path / "voxels").write_bytes(volume.array.tobytes())
    program = """
import asyncio, sys
from pathlib import Path
from tests.gateway.core.images.test_store import header_of, noisy_volume, opened

async def main(folder):
    async with opened(folder) as images:
        async with images.upload(header_of(noisy_volume((100, 100, 40)))) as upload:
            for start in range(0, 400_000, 4000):
                await upload.write((folder / "voxels").read_bytes()[start : start + 4000])
                await asyncio.get_running_loop().run_in_executor(None, upload._file.advance)
                sys.stdout.write(".")
                sys.stdout.flush()
            await asyncio.sleep(60)

asyncio.run(main(Path(sys.argv[1])))
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, env=environment, cwd=ROOT
    )
    await asyncio.to_thread(process.stdout.read, 40)
    process.send_signal(signal.SIGKILL)
    process.wait()
    async with opened(tmp_path) as images:
        received = await images.received(volume.digest)
        assert 40 * 4000 <= received <= 400_000
        await put(images, volume, offset=received)
        assert np.array_equal((await images.open(volume.digest)).volume.array, volume.array)


async def test_the_same_image_twice_is_kept_once(images: ImageStore, tmp_path: Path):
    volume = noisy_volume()
    await put(images, volume)
    kept = await images.open(volume.digest)
    await put(images, volume)
    # Or only its header, when it is known to be here.
    await put(images, volume, offset=volume.array.nbytes)
    assert await images.open(volume.digest) is kept
    assert len(list((tmp_path / "blobs").rglob(volume.digest))) == 1


async def test_the_canonical_view_shares_the_voxels(images: ImageStore):
    volume = Volume(noisy_volume().array, Geometry(size=(40, 36, 32), direction=(-1, 0, 0, 0, 0, 1, 0, 1, 0)))
    await put(images, volume)
    image = await images.open(volume.digest)
    assert np.shares_memory(image.canonical, image.volume.array)
    assert image.canonical.shape == image.canonical_geometry.shape == (36, 32, 40)
