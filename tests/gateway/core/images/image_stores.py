"""Image stores of one or more gateways, and uploads to them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.core.access import Principal
from gateway.core.images import ImageHeader, ImageLimits, ImageStore, UnfinishedLimits
from gateway.storage import Blobs, Database, image_maintenance, image_repository
from sixpoint.errors import UploadError
from sixpoint.volume import Volume, voxel_type_number
from tests.support.callers import NOBODY

MEGABYTE = 1_000_000
UNFINISHED = UnfinishedLimits(total=100 * MEGABYTE, owner=50 * MEGABYTE, idle=1000.0)
LIMITS = ImageLimits(
    image=MEGABYTE, disk=MEGABYTE, owner=0, cache=MEGABYTE, memory=MEGABYTE, idle=1000.0, unfinished=UNFINISHED
)


def header_of(volume: Volume, **changes: Any) -> ImageHeader:
    """The header of an image, with some fields changed."""
    header = ImageHeader(
        digest=volume.digest,
        geometry=volume.geometry,
        voxel_type=voxel_type_number(volume.array.dtype),
        byte_count=volume.array.nbytes,
    )
    return replace(header, **changes)


@asynccontextmanager
async def open_store(
    folder: Path, *, url: str = "", blobs: str = "", audited: bool = False, **limits: Any
) -> AsyncIterator[ImageStore]:
    """The images of a gateway in a folder; the same folder twice is two gateways that share it.

    Args:
        folder: Folder of all files.
        url: URL of the database; empty for SQLite in the folder.
        blobs: URL of the blob store; empty for a folder in the folder.
        audited: Whether changes are noted in the audit log.
        limits: Limits that differ from :data:`LIMITS`.
    """
    database = Database(url or f"sqlite:///{folder}/sixpoint.db")
    images = ImageStore(
        repository=image_repository(database, audited=audited),
        maintenance=image_maintenance(database),
        blobs=Blobs(blobs or str(folder / "blobs")),
        folder=folder / "cache",
        limits=replace(LIMITS, **limits),
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(database.stop)
        await database.start()
        stack.push_async_callback(images.stop)
        await images.start()
        yield images


async def upload_image(
    images: ImageStore, volume: Volume, *, pieces: int = 3, offset: int = 0, principal: Principal = NOBODY
) -> None:
    """Upload an image, or the rest of it, in pieces."""
    data = volume.array.tobytes()[offset:]
    step = max(1, -(-len(data) // pieces))
    async with images.upload(header_of(volume), offset=offset, principal=principal) as upload:
        for start in range(0, len(data), step):
            await upload.write(data[start : start + step])
        await upload.finish()


async def start_upload(images: ImageStore, volume: Volume, count: int, *, principal: Principal = NOBODY) -> None:
    """Send the first bytes of an image, and end the call."""
    with pytest.raises(UploadError, match="ended early"):
        await send(images, volume, volume.array.tobytes()[:count], principal=principal)


async def send(images: ImageStore, volume: Volume, data: bytes, *, principal: Principal = NOBODY) -> None:
    """Send bytes as those of an image."""
    async with images.upload(header_of(volume), principal=principal) as upload:
        await upload.write(data)
        await upload.finish()


def image_folders(folder: Path) -> set[str]:
    """The names of all folders under a folder that contain voxels, whole or in part."""
    return {str(path.parent.name) for path in folder.rglob("*") if path.is_file() and "sixpoint.db" not in path.name}


def blob_path(folder: Path, volume: Volume) -> Path:
    """The path of an image's blob, in the folder of a store."""
    return folder / "blobs" / "images" / volume.digest[:2] / volume.digest
