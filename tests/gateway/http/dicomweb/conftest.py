"""A gateway in front of a real Orthanc."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.server import Gateway
from gateway.triton.local.server import LocalTriton
from sixpoint.geometry import Geometry
from sixpoint.volume import Volume
from tests.gateway.http.sites import HttpSite
from tests.support.images import noisy_volume
from tests.support.orthanc import Orthanc, StoredSeries, running_orthanc, store_files, write_ct_series
from tests.support.servers import running_gateway

# Its axes run leftwards, downwards and backwards, and its files are stored last slice first.
OBLIQUE = Volume(
    noisy_volume().array,
    Geometry(
        size=(40, 36, 32),
        spacing=(0.7, 0.9, 2.5),
        origin=(12.5, -80, 33),
        direction=(0, 0.6, 0.8, -1, 0, 0, 0, -0.8, 0.6),
    ),
)
CREDENTIALS = "gateway:s3cret"


@dataclass(frozen=True)
class Hospital:
    """A PACS that knows the gateway alone, and a series in it."""

    orthanc: Orthanc
    place: StoredSeries
    files: Path


@pytest.fixture(scope="session")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    folder = tmp_path_factory.mktemp("hospital")
    with running_orthanc(folder / "orthanc", credentials=CREDENTIALS) as orthanc:
        place = write_ct_series(folder / "series", OBLIQUE)
        store_files(orthanc, folder / "series")
        yield Hospital(orthanc, place, folder / "series")


@pytest.fixture(scope="session")
def ward(triton: LocalTriton, hospital: Hospital) -> Iterator[Gateway]:
    """A gateway with the PACS behind it."""
    with running_gateway(
        triton_url=triton.address,
        http_port=0,
        dicomweb_url=hospital.orthanc.url,
        dicomweb_token=CREDENTIALS,
    ) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def ward_site(ward: Gateway) -> HttpSite:
    return HttpSite.of(ward, "")
