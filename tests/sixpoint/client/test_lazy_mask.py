"""The masks that a client returns behave like any other dataclass."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import sixpoint
from tests.sixpoint.client.fake_gateway import POINTS, FakeGateway, settled
from tests.support.images import noisy_volume

COPIES: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda mask: pickle.loads(pickle.dumps(mask)),
    "replace": dataclasses.replace,
}


@pytest.fixture
async def mask(server: FakeGateway, client: Any) -> sixpoint.Mask:
    session = await settled(client.open_session(noisy_volume()))
    mask: sixpoint.Mask = await settled(session.annotate(POINTS))
    return mask


@pytest.mark.parametrize("read_first", [False, True], ids=["unread", "read"])
@pytest.mark.parametrize("how", COPIES)
async def test_a_mask_can_be_copied(mask: sixpoint.Mask, how: str, read_first: bool) -> None:
    if read_first:
        assert mask.array.any()
    twin = COPIES[how](mask)
    assert isinstance(twin, sixpoint.Mask)
    assert type(twin) is type(mask)
    for field in dataclasses.fields(sixpoint.Mask):
        if field.name != "array":
            assert getattr(twin, field.name) == getattr(mask, field.name)
    assert np.array_equal(twin.array, mask.array)
    assert twin.volume_ml == mask.volume_ml > 0


async def test_a_field_can_be_replaced(mask: sixpoint.Mask) -> None:
    array = np.zeros_like(mask.array)
    changed = dataclasses.replace(mask, array=array, revision=7)
    assert changed.array is array
    assert (changed.revision, changed.model) == (7, mask.model)
    assert mask.array.any()


async def test_the_array_is_built_once_and_is_the_users_own(mask: sixpoint.Mask) -> None:
    mask.array[:] = 1
    assert mask.array.all()
    assert mask.array.dtype == np.uint8
    assert mask.array.shape == mask.geometry.shape


async def test_a_mask_is_frozen(mask: sixpoint.Mask) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        mask.revision = 7  # type: ignore[misc]
    assert not hasattr(mask, "colour")
    assert set(dataclasses.asdict(mask)) == {field.name for field in dataclasses.fields(sixpoint.Mask)}


async def test_masks_are_equal_only_if_they_are_identical(mask: sixpoint.Mask) -> None:
    assert mask == mask
    assert mask != copy.copy(mask)
    assert len({mask, copy.copy(mask)}) == 2
