"""Fixtures of tests of the whole gateway."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest


@pytest.fixture
def channel(address: str) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(address) as channel:
        yield channel
