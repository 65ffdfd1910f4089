"""The blob store, in a folder and in an object store."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from pathlib import Path

import pytest

from gateway.storage import Blobs
from sixpoint import errors
from sixpoint.errors import InvalidArgument, SixpointError, StorageFull, StorageUnavailable
from tests.support.disks import small_disk
from tests.support.ports import free_port


@pytest.fixture(params=["folder", "s3"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    if request.param == "folder":
        return Blobs(f"file://{tmp_path}/blobs")
    request.getfixturevalue("s3_environment")
    return Blobs(f"s3://images/{tmp_path.name.lower()}")


def file_of(path: Path, size: int) -> Path:
    path.write_bytes(os.urandom(size))
    return path


@pytest.mark.parametrize("size", [0, 1000, 20 * 2**20])
async def test_a_stored_blob_is_read_back(blobs: Blobs, tmp_path: Path, size: int) -> None:
    source = file_of(tmp_path / "source", size)
    await blobs.put_file("images/ab/cd", source)
    assert await blobs.size("images/ab/cd") == size
    assert await blobs.get_to_file("images/ab/cd", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == source.read_bytes()


async def test_a_blob_outlives_the_file_it_was_made_of_and_can_be_replaced_and_deleted(
    blobs: Blobs, tmp_path: Path
) -> None:
    for number in range(2):
        source = file_of(tmp_path / "source", 1000)
        content = source.read_bytes()
        await blobs.put_file("a", source)
        source.unlink()
        target = tmp_path / str(number)
        assert await blobs.get_to_file("a", target)
        assert target.read_bytes() == content
    blobs.delete_blocking("a")
    assert await blobs.size("a") is None
    assert target.read_bytes() == content


async def test_the_same_file_may_be_put_twice(blobs: Blobs, tmp_path: Path) -> None:
    source = file_of(tmp_path / "source", 1000)
    await blobs.put_file("a", source)
    await blobs.put_file("a", source)
    assert await blobs.size("a") == 1000
    assert [path.name for path in tmp_path.rglob(".*")] == []


async def test_incomplete_files_of_a_killed_gateway_are_removed_and_nothing_else(tmp_path: Path) -> None:
    blobs = Blobs(str(tmp_path))
    await blobs.put_file("images/ab/cd", file_of(tmp_path / "source", 10))
    left, other = (file_of(tmp_path / "images" / "ab" / name, 10) for name in (".cd.0123456789abcdef", ".profile"))
    await blobs.tidy(time.time() - 100)
    assert left.exists()
    await blobs.tidy(time.time() + 100)
    assert not left.exists()
    assert other.exists()
    assert await blobs.size("images/ab/cd") == 10


async def test_a_missing_blob_is_none_and_leaves_no_file(blobs: Blobs, tmp_path: Path) -> None:
    await blobs.put_file("some", file_of(tmp_path / "source", 10))
    assert not await blobs.get_to_file("none", tmp_path / "target")
    assert not (tmp_path / "target").exists()
    assert await blobs.size("none") is None
    blobs.delete_blocking("none")


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../a", "a/../b", "A", "a//b", ".hidden"])
async def test_a_key_that_leads_elsewhere_is_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(InvalidArgument):
        await Blobs(str(tmp_path)).size(key)


async def test_a_new_store_is_there(blobs: Blobs, tmp_path: Path) -> None:
    await blobs.check()
    await blobs.put_file("images/ab/cd", file_of(tmp_path / "source", 10))
    await blobs.check()


async def test_a_folder_that_cannot_be_looked_up_is_unavailable(tmp_path: Path) -> None:
    # As with a share whose server is gone, and unlike a folder that is not there.
    with pytest.raises(StorageUnavailable, match="File name too long"):
        await Blobs(str(tmp_path / ("a" * 300))).check()


@pytest.mark.parametrize("url", ["", "ftp://me:secret@host/", "memory:///", "s3://"])
def test_an_unknown_url_is_refused_and_not_repeated_in_the_error(url: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Blobs(url)
    assert "secret" not in caught.value.message
    assert "SIXPOINT_BLOBS_URL" in caught.value.message


async def test_a_folder_never_contains_an_incomplete_blob(tmp_path: Path) -> None:
    # On another file system, so that the bytes are copied.
    blobs = Blobs(str(tmp_path / "blobs"))
    with small_disk(tmp_path / "disk", megabytes=16) as other:
        source = file_of(other / "source", 8 * 2**20)
        seen, done = set(), threading.Event()

        def watch() -> None:
            while not done.is_set():
                for path in (tmp_path / "blobs").glob("images/[!.]*"):
                    seen.add(path.stat().st_size)

        watcher = threading.Thread(target=watch)
        watcher.start()
        for number in range(10):
            await blobs.put_file(f"images/{number}", source)
        done.set()
        watcher.join()
    assert seen <= {8 * 2**20}


async def test_a_full_disk_is_reported_and_leaves_no_file(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=2) as folder:
        blobs = Blobs(str(folder / "blobs"))
        with pytest.raises(StorageFull):
            await blobs.put_file("a", file_of(tmp_path / "large", 4 * 2**20))
        assert await blobs.size("a") is None
        await blobs.put_file("a", file_of(tmp_path / "small", 2**20))
        assert len(list((folder / "blobs").iterdir())) == 1


async def test_a_folder_that_is_not_mounted_is_unavailable(tmp_path: Path) -> None:
    blobs = Blobs(str(tmp_path / "blobs"))
    await blobs.put_file("images/ab/cd", file_of(tmp_path / "source", 10))
    blobs.delete_blocking("images/ab/cd")
    assert not await blobs.get_to_file("images/ab/cd", tmp_path / "target")
    (tmp_path / "blobs").rename(tmp_path / "elsewhere")
    with pytest.raises(StorageUnavailable, match="not mounted"):
        await blobs.get_to_file("images/ab/cd", tmp_path / "target")
    (tmp_path / "blobs").mkdir()
    with pytest.raises(StorageUnavailable, match="not mounted"):
        await blobs.get_to_file("images/ab/cd", tmp_path / "target")


async def test_a_bucket_that_does_not_exist_is_unavailable(tmp_path: Path, s3_environment: None) -> None:
    with pytest.raises(StorageUnavailable):
        await Blobs("s3://no-such-bucket/prefix").get_to_file("images/ab/cd", tmp_path / "target")
    with pytest.raises(StorageUnavailable):
        # Or a rolling update would replace gateways by such that cannot answer.
        await Blobs("s3://no-such-bucket/prefix").check()


async def test_an_unreachable_store_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3_environment: None
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setattr("sixpoint.io.object_store._RETRIES", {"max_retries": 0})
    blobs = Blobs("s3://images/prefix")
    for call in (
        blobs.put_file("a", file_of(tmp_path / "source", 10)),
        blobs.get_to_file("a", tmp_path / "target"),
        blobs.size("a"),
        blobs.check(),
        asyncio.to_thread(blobs.delete_blocking, "a"),
    ):
        with pytest.raises(StorageUnavailable) as caught:
            await call
        assert "127.0.0.1" not in caught.value.message
    assert not (tmp_path / "target").exists()


def test_an_error_that_arrives_over_the_wire_is_of_a_class_of_the_documented_tree() -> None:
    # A client finds the class by its reason: a subclass with the reason of its parent would take its place.
    assert {kind.__name__ for kind in SixpointError.tree()} <= set(errors.__all__)
