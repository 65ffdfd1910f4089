"""Files of uploads that ended early: whose they are, how long they stay, and how many bytes they may take."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.core.images import FileHeader, ImageKey
from gateway.core.images.upload_folder import UnfinishedLimits, UploadFolder
from sixpoint.errors import Unavailable
from sixpoint.volume import Volume
from tests.gateway.core.images.image_stores import header_of, open_store, start_upload
from tests.support.callers import NOBODY, caller
from tests.support.images import noisy_volume

MIB = 2**20
VOLUMES = [noisy_volume((40, 36, 20 + n)) for n in range(5)]


def folder_of(path: Path, **limits: int) -> UploadFolder:
    """The folder, with limits in files: each of them counts as 1 MiB."""
    given = {name: count * MIB for name, count in ({"total": 9, "owner": 9} | limits).items()}
    return UploadFolder(path, UnfinishedLimits(idle=1000.0, **given))


def leave(folder: UploadFolder, volume: Volume, *, owner: str = "", age: float = 0.0) -> Path:
    """An upload that ended early some seconds ago."""
    file = folder.claim(header_of(volume), offset=0, principal=caller(owner))
    file.add(b"x" * 100)
    file.close(remove=False)
    modified = file.path.stat().st_mtime - age
    os.utime(file.path, (modified, modified))
    return file.path


def test_what_an_owner_left_is_that_owners(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    path = leave(folder, VOLUMES[0], owner="ward 7")
    assert folder.received(VOLUMES[0].digest, caller("ward 7")) == 100
    assert (
        folder.received(VOLUMES[0].digest, caller("ward 8"))
        == folder.received(VOLUMES[0].digest, principal=NOBODY)
        == 0
    )
    assert folder.nbytes(caller("ward 7"), besides=set()) == (100, 100)
    assert folder.nbytes(caller("ward 8"), besides=set()) == (100, 0)
    assert folder.nbytes(caller("ward 7"), besides={path}) == (0, 0)


def test_the_oldest_of_an_owner_are_removed_first(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, owner=2)
    paths = [leave(folder, volume, owner="a", age=age) for volume, age in zip(VOLUMES, (9, 20, 3), strict=False)]
    other = leave(folder, VOLUMES[3], owner="b", age=30)
    assert folder.trim(besides=set()) == [(ImageKey("default", VOLUMES[1].digest), 100)]
    assert [path.exists() for path in (*paths, other)] == [True, False, True, True]


def test_all_together_are_limited_too(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, total=2)
    paths = [leave(folder, volume, owner=str(age), age=age) for volume, age in zip(VOLUMES, (9, 20, 3), strict=False)]
    assert folder.trim(besides={paths[0]}) == []
    assert folder.trim(besides=set()) == [(ImageKey("default", VOLUMES[1].digest), 100)]


def test_old_ones_are_removed_but_not_one_that_is_written_to(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    leave(folder, VOLUMES[0], age=2000)
    running = folder.claim(header_of(VOLUMES[1]), offset=0, principal=NOBODY)
    os.utime(running.path, (1.0, 1.0))
    assert folder.trim(besides=set()) == [(ImageKey("default", VOLUMES[0].digest), 100)]
    assert running.path.exists()
    running.close(remove=True)


def test_an_upload_that_sent_nothing_leaves_no_file(tmp_path: Path) -> None:
    folder_of(tmp_path).claim(header_of(VOLUMES[0]), offset=0, principal=NOBODY).close(remove=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("owner", ["", "ward 7"])
async def test_the_next_upload_removes_what_is_too_much(tmp_path: Path, owner: str) -> None:
    async with open_store(tmp_path, unfinished=UnfinishedLimits(total=9 * MIB, owner=2 * MIB, idle=1000.0)) as images:
        for volume in VOLUMES[:4]:
            await start_upload(images, volume, 1000, principal=caller(owner))
        received = [await images.received(volume.digest, principal=caller(owner)) for volume in VOLUMES[:4]]
    assert received == [0, 1000, 1000, 1000], "at most two, and the one that came last"


def test_a_file_is_kept_apart_from_the_image_of_its_name_within_the_same_limits(tmp_path: Path) -> None:
    folder, header = folder_of(tmp_path, owner=2), FileHeader(VOLUMES[0].digest, 1000)
    leave(folder, VOLUMES[0], owner="a", age=5)
    file = folder.claim(header, offset=0, principal=caller("a"))
    file.add(b"x" * 70)
    with pytest.raises(Unavailable, match="another call is sending this file"):
        folder.claim(header, offset=0, principal=caller("a"))
    file.close(remove=False)
    assert folder.received(header.digest, caller("a"), is_file=True) == 70
    assert folder.received(header.digest, caller("a")) == 100
    assert folder.received(header.digest, caller("b"), is_file=True) == 0
    # Who reads one keeps it: other gateways do not remove it.
    os.utime(file.path, (1.0, 1.0))
    locked = folder.lock_file(header.digest, caller("a"))
    assert locked is not None
    assert folder.trim(besides=set()) == []
    os.close(locked[1])
    assert folder.lock_file(header.digest, caller("b")) is None
    # It is no image whose blob would have to go.
    assert folder.trim(besides=set()) == []
    assert [path.name.startswith("file-") for path in tmp_path.iterdir()] == [False]
