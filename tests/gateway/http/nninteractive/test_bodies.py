"""Room for the files of nnInteractive's arrays."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.http.nninteractive.bodies import reserve_unpacking
from gateway.http.requests.spool import Spool
from sixpoint.errors import ResourceExhausted


def test_the_file_that_an_array_is_unpacked_from_needs_room(tmp_path: Path) -> None:
    async def reserve(spool: Spool) -> None:
        async with spool.folder() as folder:
            array = folder.path / "array"
            array.write_bytes(bytes(2**20))
            folder.reserve(2**20)
            reserve_unpacking(array, folder)

    asyncio.run(reserve(Spool(tmp_path, limit=8 * 2**20)))
    # An owner may take half.
    with pytest.raises(ResourceExhausted, match="room"):
        asyncio.run(reserve(Spool(tmp_path, limit=5 * 2**20)))
