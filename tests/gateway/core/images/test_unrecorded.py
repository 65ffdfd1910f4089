"""Blobs that the database does not know: reported, and kept."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

from gateway.core.images import unrecorded
from gateway.storage import Blobs
from tests.gateway.core.images.image_stores import blob_path, open_store, upload_image
from tests.support.images import noisy_volume


def _warnings(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == unrecorded.__name__]


@pytest.mark.parametrize("kind", ["folder", "s3"])
async def test_blobs_that_are_newer_than_the_database_are_reported_and_kept(
    tmp_path: Path,
    kind: str,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(unrecorded, "_SETTLE_S", 0.0)
    if kind == "s3":
        request.getfixturevalue("s3_environment")
    blobs = str(tmp_path / "blobs") if kind == "folder" else f"s3://images/{tmp_path.name.lower()}"
    older, newer = noisy_volume(), noisy_volume((40, 36, 31))
    async with open_store(tmp_path, blobs=blobs) as images:
        await upload_image(images, older)
    shutil.copy(tmp_path / "sixpoint.db", tmp_path / "backup.db")
    async with open_store(tmp_path, blobs=blobs) as images:
        await upload_image(images, newer)
        with caplog.at_level(logging.WARNING):
            await images.report_unrecorded()
    assert not _warnings(caplog)
    shutil.copy(tmp_path / "backup.db", tmp_path / "sixpoint.db")
    async with open_store(tmp_path, blobs=blobs) as images:
        with caplog.at_level(logging.WARNING, "gateway.core"):
            await images.report_unrecorded()
        assert [record.blobs for record in _warnings(caplog)] == [1]  # type: ignore[attr-defined]
        assert newer.digest not in _warnings(caplog)[0].getMessage()
        await images.expire()
        key = blob_path(tmp_path, newer).relative_to(tmp_path / "blobs").as_posix()
        assert await Blobs(blobs).size(key) == newer.array.nbytes
        await upload_image(images, newer)
        assert np.array_equal((await images.open(newer.digest, tenant="default")).volume.array, newer.array)
        caplog.clear()
        await images.report_unrecorded()
        assert not _warnings(caplog)


async def test_a_store_that_is_away_is_said(
    tmp_path: Path, s3_environment: None, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_store(tmp_path) as images:
        await upload_image(images, noisy_volume())
    async with open_store(tmp_path, blobs="s3://no-such-bucket/prefix") as images:
        with caplog.at_level(logging.WARNING):
            await images.report_unrecorded()
    assert [record.reason for record in _warnings(caplog)] == ["STORAGE_UNAVAILABLE"]  # type: ignore[attr-defined]
