"""A repository with models of the tests, and the Triton from pip that serves it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.triton.local.server import LocalTriton
from tests.gateway.triton.local.local_triton import (
    put_bytes_model,
    put_lookup_model,
    settings,
)


@pytest.fixture(scope="package")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = tmp_path_factory.mktemp("models")
    put_bytes_model(repository)
    put_lookup_model(repository)
    # What an exporter leaves beside models, or left when it was killed, must do no harm.
    (repository / "README.md").write_text("models")
    (repository / ".tmp-new").mkdir()
    (repository / "bytes" / "README.md").write_text("a model")
    (repository / "bytes" / "labels.txt").write_text("object\n")
    (repository / "bytes" / ".tmp-version").mkdir()
    return repository


@pytest.fixture(scope="package")
def triton(repository: Path) -> Iterator[LocalTriton]:
    triton = LocalTriton(settings(repository))
    asyncio.run(triton.start())
    yield triton
    asyncio.run(triton.stop())
