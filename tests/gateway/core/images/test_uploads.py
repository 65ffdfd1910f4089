"""Uploads: continued, cancelled, damaged, concurrent, and refused."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from gateway.core.access import Principal
from gateway.core.images import ImageHeader, ImageStore
from gateway.core.images.upload_file import UploadFile
from gateway.core.images.upload_folder import UploadFolder
from sixpoint.errors import (
    ChecksumMismatch,
    ImageNotFound,
    StorageUnavailable,
    UploadError,
)
from tests.gateway.core.images import interrupted_upload
from tests.gateway.core.images.image_stores import (
    header_of,
    image_folders,
    open_store,
    start_upload,
    upload_image,
)
from tests.support.callers import NOBODY
from tests.support.images import noisy_volume
from tests.support.paths import ROOT
from tests.support.postgresql import PostgreSQL


async def test_an_upload_that_ends_early_is_no_image_and_can_be_continued(images: ImageStore, tmp_path: Path) -> None:
    volume = noisy_volume()
    await start_upload(images, volume, 1001)
    with pytest.raises(ImageNotFound):
        await images.open(volume.digest, tenant="default")
    assert await images.received(volume.digest, principal=NOBODY) == 1001
    await upload_image(images, volume, offset=1001)
    assert np.array_equal((await images.open(volume.digest, tenant="default")).volume.array, volume.array)
    assert image_folders(tmp_path / "cache") == {"images"}


async def test_an_upload_can_always_start_anew(images: ImageStore) -> None:
    volume = noisy_volume()
    await start_upload(images, volume, 1001)
    await upload_image(images, volume)
    assert await images.open(volume.digest, tenant="default")


async def test_a_wrong_offset_is_refused_and_the_error_says_the_right_one(images: ImageStore) -> None:
    volume = noisy_volume()
    await start_upload(images, volume, 1001)
    with pytest.raises(UploadError, match="1001 bytes of this image have arrived, the offset is 7"):
        await upload_image(images, volume, offset=7)
    assert await images.received(volume.digest, principal=NOBODY) == 1001


async def test_an_upload_cancelled_in_the_middle_can_be_continued(images: ImageStore) -> None:
    volume = noisy_volume()
    sent = asyncio.Event()

    async def send() -> None:
        async with images.upload(header_of(volume), principal=NOBODY) as upload:
            await upload.write(volume.array.tobytes()[:5000])
            sent.set()
            await asyncio.sleep(60)

    sending = asyncio.create_task(send())
    await sent.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert await images.received(volume.digest, principal=NOBODY) == 5000
    await upload_image(images, volume, offset=5000)


async def test_an_upload_cancelled_while_its_file_is_claimed_can_be_continued(
    images: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = noisy_volume()
    await start_upload(images, volume, 1001)
    claimed, go_on = threading.Event(), threading.Event()
    claim = UploadFolder.claim

    def slow_claim(folder: UploadFolder, header: ImageHeader, *, offset: int, principal: Principal) -> UploadFile:
        file = claim(folder, header, offset=offset, principal=principal)
        claimed.set()
        go_on.wait()
        return file

    monkeypatch.setattr(UploadFolder, "claim", slow_claim)
    sending = asyncio.create_task(upload_image(images, volume, offset=1001))
    await asyncio.to_thread(claimed.wait)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    go_on.set()
    monkeypatch.undo()
    assert await images.received(volume.digest, principal=NOBODY) == 1001
    await upload_image(images, volume, offset=1001)


async def test_an_upload_cancelled_twice_while_all_threads_are_busy_can_be_continued(
    images: ImageStore,
) -> None:
    volume = noisy_volume()
    sent, go_on = asyncio.Event(), threading.Event()

    async def send() -> None:
        async with images.upload(header_of(volume), principal=NOBODY) as upload:
            await upload.write(volume.array.tobytes()[:5000])
            for _ in range(images._threads.max_workers):
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
    assert await images.received(volume.digest, principal=NOBODY) == 5000
    await upload_image(images, volume, offset=5000)


async def test_a_sender_waits_while_much_of_an_upload_is_not_written(
    images: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.core.images.upload._MAX_UNWRITTEN_BYTES", 10_000)
    volume, go_on, advance = noisy_volume(), threading.Event(), UploadFile.advance

    def slow_advance(file: UploadFile) -> None:
        go_on.wait(10)
        advance(file)

    monkeypatch.setattr(UploadFile, "advance", slow_advance)
    data = volume.array.tobytes()
    async with images.upload(header_of(volume), principal=NOBODY) as upload:
        await upload.write(data[:4000])
        second = asyncio.create_task(upload.write(data[4000:8000]))
        await asyncio.sleep(0.05)
        assert not second.done(), "a third chunk would be too much"
        go_on.set()
        await second
        await upload.write(data[8000:])
        await upload.finish()
    assert np.array_equal((await images.open(volume.digest, tenant="default")).volume.array, volume.array)


async def test_bytes_damaged_on_the_disk_are_detected_and_the_next_upload_starts_anew(
    images: ImageStore, tmp_path: Path
) -> None:
    volume = noisy_volume()
    await start_upload(images, volume, 1001)
    with (tmp_path / "cache" / "uploads" / volume.digest).open("r+b") as file:
        file.write(b"damaged")
    with pytest.raises(ChecksumMismatch):
        await upload_image(images, volume, offset=1001)
    assert await images.received(volume.digest, principal=NOBODY) == 0
    await upload_image(images, volume)


async def test_concurrent_uploads_of_one_image_do_not_disturb_each_other(tmp_path: Path) -> None:
    volume = noisy_volume()
    data = volume.array.tobytes()
    async with open_store(tmp_path) as one, open_store(tmp_path) as other:
        async with (
            one.upload(header_of(volume), principal=NOBODY) as first,
            other.upload(header_of(volume), principal=NOBODY) as second,
        ):
            for start in range(0, len(data), 10_000):
                await first.write(data[start : start + 10_000])
                await second.write(data[start : start + 10_000])
            await first.finish()
            await second.finish()
        assert np.array_equal((await one.open(volume.digest, tenant="default")).volume.array, volume.array)
        assert np.array_equal((await other.open(volume.digest, tenant="default")).volume.array, volume.array)
    assert image_folders(tmp_path / "cache") == {"images"}
    assert len(list((tmp_path / "cache" / "images").iterdir())) == 1


async def test_an_image_uploaded_twice_is_stored_once(images: ImageStore, tmp_path: Path) -> None:
    volume = noisy_volume()
    await upload_image(images, volume)
    kept = await images.open(volume.digest, tenant="default")
    await upload_image(images, volume)
    # Or only its header, when it is known to be here.
    await upload_image(images, volume, offset=volume.array.nbytes)
    assert await images.open(volume.digest, tenant="default") is kept
    assert len(list((tmp_path / "blobs").rglob(volume.digest))) == 1


async def test_an_upload_is_continued_after_the_database_was_away(tmp_path: Path, postgresql: PostgreSQL) -> None:
    volume = noisy_volume()
    async with open_store(tmp_path, url=postgresql.database()) as images:

        async def interrupted() -> None:
            async with images.upload(header_of(volume), principal=NOBODY) as upload:
                await upload.write(volume.array.tobytes())
                postgresql.stop()
                try:
                    await upload.finish()
                finally:
                    postgresql.start()

        with pytest.raises(StorageUnavailable):
            await interrupted()
        assert await images.received(volume.digest, principal=NOBODY) == volume.array.nbytes
        await upload_image(images, volume, offset=volume.array.nbytes)
        assert np.array_equal((await images.open(volume.digest, tenant="default")).volume.array, volume.array)


async def test_another_gateway_continues_the_upload_of_a_killed_one(tmp_path: Path) -> None:
    volume = noisy_volume(interrupted_upload.SIZE)
    process = subprocess.Popen(
        [sys.executable, "-m", interrupted_upload.__name__, str(tmp_path)],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=ROOT,
    )
    assert process.stdout is not None
    await asyncio.to_thread(process.stdout.read, 40)
    process.send_signal(signal.SIGKILL)
    process.wait()
    async with open_store(tmp_path) as images:
        received = await images.received(volume.digest, principal=NOBODY)
        assert 40 * 4000 <= received <= 400_000
        await upload_image(images, volume, offset=received)
        assert np.array_equal((await images.open(volume.digest, tenant="default")).volume.array, volume.array)
