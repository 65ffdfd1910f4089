"""A gateway process that starts an upload, writes a dot for every 4000 bytes, and waits to be killed.

usage: python -m tests.gateway.core.images.interrupted_upload FOLDER
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.gateway.core.images.image_stores import header_of, open_store
from tests.support.callers import NOBODY
from tests.support.images import noisy_volume

SIZE = (100, 100, 40)


async def main(folder: Path) -> None:
    volume = noisy_volume(SIZE)
    data = volume.array.tobytes()
    async with open_store(folder) as images, images.upload(header_of(volume), principal=NOBODY) as upload:
        assert upload._file is not None
        for start in range(0, 400_000, 4000):
            await upload.write(data[start : start + 4000])
            await asyncio.get_running_loop().run_in_executor(None, upload._file.advance)
            sys.stdout.write(".")
            sys.stdout.flush()
        await asyncio.sleep(60)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
