"""A gateway that looks at tokens."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sixpoint.client.fake_gateway import serving
from tests.sixpoint.client.tokens.guarded_gateway import GuardedGateway


@pytest.fixture
def guarded() -> Iterator[GuardedGateway]:
    """A gateway that records the tokens of its calls, and accepts all."""
    gateway = GuardedGateway()  # type: ignore[abstract]
    with serving(gateway):
        yield gateway
