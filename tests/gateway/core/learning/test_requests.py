"""Requests whose numbers cannot be used."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from gateway.contract import LearningCalls
from gateway.core.learning import Learning
from sixpoint.errors import InvalidArgument
from sixpoint.v1 import learning_service_pb2 as learning_pb
from sixpoint.v1.model_service_pb2 import TASK_ANNOTATION
from tests.support.callers import caller


@pytest.mark.parametrize(
    ("version", "share", "told"),
    [
        ("0", 1.0, "'0' is no version; expected a number from 1"),
        ("seven", 1.0, "'seven' is no version"),
        ("", 1.0, "'' is no version"),
        ("7", 1.5, r"a share of 1\.5 of the sessions is none; expected 0 to 1"),
        ("7", float("nan"), "a share of nan"),
    ],
)
async def test_numbers_that_are_none_are_named(version: str, share: float, told: str) -> None:
    request = learning_pb.PromoteVersionRequest(dataset="organs", task=TASK_ANNOTATION, version=version, share=share)
    # It is refused before anything is asked.
    calls = LearningCalls(cast("Learning", SimpleNamespace(promote=None)))
    with pytest.raises(InvalidArgument, match=told):
        await calls.promote_version(request, caller("ada"))
