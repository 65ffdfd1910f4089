"""Images that come back from a gateway."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import numpy as np
import pytest

import sixpoint
from sixpoint.errors import ChecksumMismatch
from tests.sixpoint.client.session_gateway import SessionGateway
from tests.support.images import noisy_volume


@pytest.fixture
def session_client(stepping: SessionGateway) -> Iterator[sixpoint.Client]:
    with sixpoint.Client("not.used:1", channel=grpc.insecure_channel(stepping.address)) as client:
        yield client


def test_an_image_comes_back_as_it_was(session_client: sixpoint.Client) -> None:
    volume = noisy_volume()
    back = session_client.datasets.download(volume.digest)
    assert back.geometry == volume.geometry
    assert np.array_equal(back.array, volume.array)


def test_an_image_that_arrives_damaged_is_refused(session_client: sixpoint.Client) -> None:
    with pytest.raises(ChecksumMismatch, match="SHA-256 differs"):
        session_client.datasets.download("0" * 64)
