"""Images of several tenants: nobody learns what another tenant has, or loses by what another one removes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gateway.core.images import ImageKey
from sixpoint.errors import ImageNotFound
from tests.gateway.core.images.image_stores import open_store, send, start_upload, upload_image
from tests.support.callers import caller
from tests.support.images import noisy_volume

VOLUME = noisy_volume()
NORTH, SOUTH = caller("ada", tenant="north"), caller("ada", tenant="south")


async def test_an_image_is_there_for_its_own_tenant_only(tmp_path: Path) -> None:
    async with open_store(tmp_path) as images:
        await upload_image(images, VOLUME, principal=NORTH)
        with pytest.raises(ImageNotFound, match="upload it first"):
            await images.describe(VOLUME.digest, principal=caller("", tenant="south"))
        with pytest.raises(ImageNotFound):
            await images.open(VOLUME.digest, tenant="south")
        assert await images.received(VOLUME.digest, principal=SOUTH) == 0, "as of an image that nobody has"
        assert await images.received(VOLUME.digest, principal=NORTH) == VOLUME.array.nbytes


async def test_two_tenants_have_voxels_of_their_own(tmp_path: Path) -> None:
    async with open_store(tmp_path, idle=0.0) as images:
        await upload_image(images, VOLUME, principal=NORTH)
        await upload_image(images, VOLUME, principal=SOUTH)
        paths = [tmp_path / "blobs" / ImageKey(tenant, VOLUME.digest).blob for tenant in ("north", "south")]
        assert [path.stat().st_size for path in paths] == 2 * [VOLUME.array.nbytes]
        assert not paths[0].samefile(paths[1])
        assert await images.byte_total() == 2 * VOLUME.array.nbytes
        # What one of them has damaged is whole for the other.
        paths[0].write_bytes(b"x" * VOLUME.array.nbytes)
        with pytest.raises(ImageNotFound, match="damaged"):
            await images.open(VOLUME.digest, tenant="north")
        assert np.array_equal((await images.open(VOLUME.digest, tenant="south")).volume.array, VOLUME.array)
        assert [path.exists() for path in paths] == [False, True]
        assert await images.expire() == 1
        assert [path.exists() for path in paths] == [False, False]


async def test_an_upload_is_continued_by_its_own_tenant_only(tmp_path: Path) -> None:
    async with open_store(tmp_path) as images:
        await start_upload(images, VOLUME, 1000, principal=NORTH)
        assert await images.received(VOLUME.digest, principal=NORTH) == 1000
        assert await images.received(VOLUME.digest, principal=SOUTH) == 0
        await send(images, VOLUME, VOLUME.array.tobytes(), principal=SOUTH)
        assert await images.received(VOLUME.digest, principal=NORTH) == 1000


@pytest.mark.parametrize("tenant", ["default", "north", "a-b", "0"])
def test_the_names_of_blobs_and_files_tell_the_image(tenant: str) -> None:
    key = ImageKey(tenant, "0123456789abcdef" * 4)
    assert ImageKey.of_blob(key.blob) == key
    assert ImageKey.of_file(key.file_name) == key


@pytest.mark.parametrize("name", ["", "images/01/x", "other/images/01/" + "0" * 64, "tenants/A/images/00/" + "0" * 64])
def test_other_blobs_are_no_images(name: str) -> None:
    assert ImageKey.of_blob(name) is None


def test_images_of_before_there_were_tenants_are_found() -> None:
    key = ImageKey("default", "ab" * 32)
    assert (key.blob, key.file_name) == (f"images/ab/{key.digest}", key.digest)
