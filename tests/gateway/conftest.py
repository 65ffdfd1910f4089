"""What tests of the gateway share."""

from collections.abc import Iterator

import pytest

import sixpoint


@pytest.fixture
def client(address: str) -> Iterator[sixpoint.Client]:
    """A blocking client of the shared gateway."""
    with sixpoint.Client(address) as client:
        yield client
