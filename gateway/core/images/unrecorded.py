"""Blobs that the database does not know, as after a restore of an older database."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from gateway.core.images.repository import BlobStore, ImageReader, ImageRepository
from gateway.core.images.stored_image import blob_key, is_digest
from sixpoint.errors import SixpointError

__all__ = ["report_unrecorded"]

_log = logging.getLogger(__name__)

# Blobs that are remembered; more are not needed to say that there are many.
_MAX_BLOBS = 10_000
# Seconds after which a blob that an upload stored has its record.
_SETTLE_S = 5.0


async def report_unrecorded(repository: ImageRepository, blobs: BlobStore) -> None:
    """Log a warning if there are blobs without a record. Nothing is deleted.

    Args:
        repository: Transactions of images.
        blobs: Voxels of the images.
    """
    try:
        digests = await _find_unrecorded(repository, blobs)
        if digests:
            await asyncio.sleep(_SETTLE_S)
            digests = await repository.read(partial(_without_record, digests=digests))
            digests = {digest for digest in digests if await blobs.size(blob_key(digest)) is not None}
    except SixpointError as error:
        _log.warning("blobs were not compared with the database", extra={"reason": error.reason})
        return
    if digests:
        _log.warning(
            "there are blobs without a record: the database is older than the blob store, or uploads were killed. They "
            "are kept. Restore the newest copy of the database, or upload the images again",
            extra={"blobs": len(digests), "at_most": _MAX_BLOBS},
        )


async def _find_unrecorded(repository: ImageRepository, blobs: BlobStore) -> set[str]:
    unrecorded: set[str] = set()
    async for keys in blobs.keys():
        digests = {digest for key in keys if is_digest(digest := key.rpartition("/")[2])}
        unrecorded |= await repository.read(partial(_without_record, digests=digests))
        if len(unrecorded) >= _MAX_BLOBS:
            break
    return unrecorded


def _without_record(records: ImageReader, *, digests: set[str]) -> set[str]:
    return digests - records.recorded(digests)
