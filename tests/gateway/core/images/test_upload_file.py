"""The file of an upload."""

from __future__ import annotations

from pathlib import Path

from gateway.core.images.upload_folder import UploadFolder
from tests.gateway.core.images.image_stores import UNFINISHED, header_of
from tests.support.callers import NOBODY
from tests.support.images import noisy_volume


def test_chunks_of_any_number_are_written_at_once(tmp_path: Path) -> None:
    volume = noisy_volume()
    data = volume.array.tobytes()
    file = UploadFolder(tmp_path, UNFINISHED).claim(header_of(volume), offset=0, principal=NOBODY)
    # The system takes 1024 in one call.
    for start in range(0, len(data), 10):
        file.add(data[start : start + 10])
    file.complete()
    file.close(remove=False)
    assert file.path.read_bytes() == data
