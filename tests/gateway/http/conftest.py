"""A gateway with an HTTP port."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.server import Gateway
from gateway.triton.local.server import LocalTriton
from tests.gateway.http.sites import HttpSite
from tests.support.servers import running_gateway


@pytest.fixture(scope="session")
def http_gateway(triton: LocalTriton) -> Iterator[Gateway]:
    with running_gateway(triton_url=triton.address, http_port=0) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def site(http_gateway: Gateway) -> HttpSite:
    return HttpSite.of(http_gateway)
