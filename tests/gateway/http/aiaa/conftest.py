"""AIAA's door of the gateway with an HTTP port."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.server import Gateway
from tests.gateway.http.aiaa.clients import AiaaSite
from tests.support.images import noisy_volume


@pytest.fixture(scope="session")
def aiaa(http_gateway: Gateway) -> AiaaSite:
    return AiaaSite.of(http_gateway)


@pytest.fixture(scope="session")
def image_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small image with an object round which `tests.gateway.prompts` has points."""
    file = tmp_path_factory.mktemp("Erika Mustermann") / "Mustermann.nii.gz"
    noisy_volume().write(file)
    return file
