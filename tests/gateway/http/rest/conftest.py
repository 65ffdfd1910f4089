"""The API of a gateway."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.server import Gateway
from sixpoint.volume import Volume
from tests.gateway.http.rest.api import Api, upload
from tests.gateway.http.sites import HttpSite
from tests.support.images import noisy_volume


@pytest.fixture(scope="session")
def api(http_gateway: Gateway) -> Api:
    return Api(HttpSite.of(http_gateway, "/api/v1").url)


@pytest.fixture(scope="session")
def image(api: Api, tmp_path_factory: pytest.TempPathFactory) -> Volume:
    """An image that was uploaded."""
    path: Path = tmp_path_factory.mktemp("image") / "image.nrrd"
    noisy_volume().write(path)
    volume = Volume.read(path)
    assert upload(api, path)["digest"] == volume.digest
    return volume
