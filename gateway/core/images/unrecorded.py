"""Blobs that the database does not know, as after a restore of an older database."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from gateway.core.images.records import ImageKey
from gateway.core.images.repository import BlobStore, ImageMaintenance, ImageUpkeep
from sixpoint.errors import SixpointError

__all__ = ["report_unrecorded"]

_log = logging.getLogger(__name__)

# Blobs that are remembered; more are not needed to say that there are many.
_MAX_BLOBS = 10_000
# Seconds after which a blob that an upload stored has its record.
_SETTLE_S = 5.0


async def report_unrecorded(maintenance: ImageMaintenance, blobs: BlobStore) -> None:
    """Log a warning if there are blobs without a record. Nothing is deleted.

    Args:
        maintenance: Transactions on the images of all tenants.
        blobs: Voxels of the images.
    """
    try:
        keys = await _find_unrecorded(maintenance, blobs)
        if keys:
            await asyncio.sleep(_SETTLE_S)
            keys = await maintenance.read(partial(_without_record, keys=keys))
            keys = {key for key in keys if await blobs.size(key.blob) is not None}
    except SixpointError as error:
        _log.warning("blobs were not compared with the database", extra={"reason": error.reason})
        return
    if keys:
        _log.warning(
            "there are blobs without a record: the database is older than the blob store, or uploads were killed. They "
            "are kept. Restore the newest copy of the database, or upload the images again",
            extra={"blobs": len(keys), "at_most": _MAX_BLOBS},
        )


async def _find_unrecorded(maintenance: ImageMaintenance, blobs: BlobStore) -> set[ImageKey]:
    unrecorded: set[ImageKey] = set()
    async for names in blobs.keys():
        keys = {key for name in names if (key := ImageKey.of_blob(name))}
        unrecorded |= await maintenance.read(partial(_without_record, keys=keys))
        if len(unrecorded) >= _MAX_BLOBS:
            break
    return unrecorded


def _without_record(records: ImageUpkeep, *, keys: set[ImageKey]) -> set[ImageKey]:
    return keys - records.recorded(keys)
