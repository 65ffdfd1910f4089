"""An image store in an empty folder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.core.images import ImageStore
from tests.gateway.core.images.image_stores import open_store


@pytest.fixture
async def images(tmp_path: Path) -> AsyncIterator[ImageStore]:
    async with open_store(tmp_path) as images:
        yield images
