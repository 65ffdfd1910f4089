"""The real OpenID Connect provider for tests of its tokens."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.oidc import OidcProvider, running_oidc_provider


@pytest.fixture(scope="module")
def provider() -> Iterator[OidcProvider]:
    with running_oidc_provider() as provider:
        yield provider
