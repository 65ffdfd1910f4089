"""Images of several tenants: nobody learns what another tenant has, or loses by what another one removes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gateway.core.access import AuditEntry
from gateway.core.images import ImageKey
from gateway.storage import Blobs, Database
from gateway.storage.audit_log import entries_of
from gateway.storage.image_records import SqlImageWriter
from gateway.storage.scopes import AllTenants
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


async def test_every_removal_of_an_image_is_in_the_audit_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    delete, audit = Blobs.delete_blocking, SqlImageWriter.audit

    def deleting(blobs: Blobs, key: str) -> None:
        order.append("delete")
        delete(blobs, key)

    def auditing(records: SqlImageWriter, entry: AuditEntry) -> None:
        order.append(entry.action)
        audit(records, entry)

    monkeypatch.setattr(Blobs, "delete_blocking", deleting)
    monkeypatch.setattr(SqlImageWriter, "audit", auditing)
    async with open_store(tmp_path, audited=True, idle=0.0) as images:
        for principal in (NORTH, SOUTH):
            await upload_image(images, VOLUME, principal=principal)
        (tmp_path / "blobs" / ImageKey("north", VOLUME.digest).blob).write_bytes(b"x" * VOLUME.array.nbytes)
        with pytest.raises(ImageNotFound, match="damaged"):
            await images.open(VOLUME.digest, tenant="north")
        assert await images.expire() == 1
    # A slow bucket keeps no other change of the tenant waiting for the log.
    assert order == [*2 * ["upload image"], *2 * ["delete", "remove image"]]
    database = Database(f"sqlite:///{tmp_path}/sixpoint.db")
    for tenant in ("north", "south"):
        log = await database.read(lambda conn, tenant=tenant: list(entries_of(AllTenants(conn), tenant)))  # type: ignore[misc]
        assert [(each["subject"], each["action"]) for each in log] == [("ada", "upload image"), ("", "remove image")]
    await database.stop()


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
