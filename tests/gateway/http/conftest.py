"""A gateway with an HTTP port."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from gateway.http.decoding import processes
from gateway.http.dicomweb import series
from gateway.server import Gateway
from gateway.triton.local.server import LocalTriton
from tests.gateway.http.sites import HttpSite
from tests.support.servers import running_gateway


@pytest.fixture(scope="session", autouse=True)
def _measured_programs() -> Iterator[None]:
    """Let coverage see the programs that read files: they get nothing of the environment."""
    config = os.environ.get("COVERAGE_PROCESS_CONFIG")
    with pytest.MonkeyPatch.context() as patch:
        if config:
            for module in (processes, series):
                patch.setattr(module, "reader_environment", partial(_with_coverage, config=config))
        yield


def _with_coverage(folder: Path, *, config: str) -> dict[str, str]:
    return _READER_ENVIRONMENT(folder) | {"COVERAGE_PROCESS_CONFIG": config}


_READER_ENVIRONMENT = processes.reader_environment


@pytest.fixture(scope="session")
def http_gateway(triton: LocalTriton) -> Iterator[Gateway]:
    with running_gateway(triton_url=triton.address, http_port=0) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def site(http_gateway: Gateway) -> HttpSite:
    return HttpSite.of(http_gateway)
