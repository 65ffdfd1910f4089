"""What schemathesis makes of the API's document: whatever comes, the gateway answers, and with an error of its own.

``FUZZ_EXAMPLES=400`` sends 400 requests of each kind to each operation, instead of a few.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from gateway.http.rest import api_document
from gateway.server import Gateway
from tests.gateway.http.rest.api import PROBLEM, Api
from tests.support.paths import ROOT

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "4"))
SLOW_S = 60.0
_SCHEMA = schemathesis.openapi.from_dict(api_document())
_FOUND: Any = list(_SCHEMA.get_all_operations())
OPERATIONS: dict[str, Any] = {found.ok().label: found.ok() for found in _FOUND}


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("label", sorted(OPERATIONS))
def test_whatever_comes_is_answered(api: Api, http_gateway: Gateway, label: str) -> None:
    operation = OPERATIONS[label]
    before = files()

    def check(case: Any) -> None:
        began = time.monotonic()
        answer = case.call(base_url=api.url, timeout=SLOW_S)
        assert time.monotonic() - began < SLOW_S
        assert answer.status_code < 500, (answer.status_code, answer.text)
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == [PROBLEM]
            assert answer.json()["detail"]

    limits = settings(
        max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    limits(given(case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE))(check))()
    # Nothing is wrong for an operation that takes every text.
    with contextlib.suppress(Unsatisfiable):
        limits(given(case=operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))(check))()
    assert not list((http_gateway._settings.cache_folder / "http").iterdir())
    assert files() == before


def files() -> list[str]:
    """Return what lies in the checkout, besides what the measuring and hypothesis leave there."""
    return sorted(path.name for path in ROOT.iterdir() if not path.name.startswith((".coverage", ".hypothesis")))
