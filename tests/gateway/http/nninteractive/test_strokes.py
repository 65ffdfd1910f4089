"""Scribbles and lassos of nnInteractive's client: the masks of gRPC to the bit, and every voxel as it was drawn."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from nnInteractive.inference.remote.serialization import pack_array

from gateway.http.nninteractive.beginning import give_height, surround
from gateway.http.nninteractive.interactions import Region
from gateway.server import Gateway
from sixpoint._typing import Array, Index
from sixpoint.geometry import Geometry
from sixpoint.prompts import Box, Click, Lasso, Scribble
from tests.gateway.http.nninteractive.clients import backwards, half_open, opened, refused
from tests.gateway.http.nninteractive.test_client import IMAGE, LOWER, UPPER, over_grpc
from tests.gateway.http.objects import masks_step_by_step

ROUND = np.hypot(*np.ogrid[-7:8, -9:10]) < 8


def placed(part: Array, lower: Index) -> Array:
    """A part [z, y, x] of the image in the whole of it."""
    whole = np.zeros(IMAGE.array.shape, np.uint8)
    x, y, z = lower
    whole[z : z + part.shape[0], y : y + part.shape[1], x : x + part.shape[2]] = part
    return whole


def bounds(part: Array, lower: Index) -> list[list[int]]:
    return [[a, a + n] for a, n in zip(lower[::-1], part.shape, strict=True)]


def test_lassos(http_gateway: Gateway) -> None:
    first, second = (ROUND[None].astype(np.uint8), (11, 10, 16)), (np.ones((5, 1, 6), np.uint8), (12, 17, 14))
    whole = [placed(*first) != 0, placed(*second) != 0]
    expected = over_grpc(http_gateway, [Lasso.of_mask(whole[0])], [Lasso.of_mask(whole[1], False)])
    with opened(http_gateway, IMAGE) as (client, mask):
        client.add_lasso_interaction(first[0], True, interaction_bbox=bounds(*first))
        assert np.array_equal(mask, expected[0])
        assert mask[whole[0]].all()
        client.add_lasso_interaction(second[0], False, interaction_bbox=bounds(*second))
        assert np.array_equal(mask, expected[1])
        assert not mask[whole[1]].any()
        assert client.undo()
        assert np.array_equal(mask, expected[0])
        # The whole volume in place of a part.
        assert client.undo()
        client.add_lasso_interaction(placed(*first), True)
        assert np.array_equal(mask, expected[0])


def test_scribbles(http_gateway: Gateway) -> None:
    line, lower = np.ones((1, 1, 9), np.uint8), (16, 18, 16)
    voxels = np.argwhere(placed(line, lower))[:, ::-1]
    # Half of the image round the stroke along each axis.
    begin, beside = Box((10, 9, 8), (30, 27, 24)), placed(line, (28, 4, 9)) != 0
    expected = over_grpc(http_gateway, [begin, Scribble(voxels)], [Scribble(beside, False)])
    with opened(http_gateway, IMAGE) as (client, mask):
        client.add_scribble_interaction(line, True, interaction_bbox=bounds(line, lower))
        assert np.array_equal(mask, expected[0])
        client.add_scribble_interaction(line.astype(bool), False, interaction_bbox=bounds(line, (28, 4, 9)))
        assert np.array_equal(mask, expected[1])
        assert client.add_scribble_interaction(0 * line, True, interaction_bbox=bounds(line, lower)) is None
        assert client.undo()
        assert np.array_equal(mask, expected[0])


def test_a_negative_box_on_a_slice_stays_empty(http_gateway: Gateway) -> None:
    flat = np.ones((1, 12, 30), np.uint8), (5, 5, 16)
    gone = placed(*flat) != 0
    expected = over_grpc(
        http_gateway, [Box(LOWER, UPPER)], [Lasso.of_mask(gone, False)], [Click((20, 20, 17))], [Click((4, 17, 16))]
    )
    with opened(http_gateway, IMAGE) as (client, mask):
        client.add_bbox_interaction(half_open(LOWER, UPPER), True)
        client.add_bbox_interaction(bounds(*flat), False)
        assert np.array_equal(mask, expected[1])
        client.add_point_interaction((17, 20, 20), True)
        assert np.array_equal(mask, expected[2])
        assert not mask[gone].any()


def test_a_point_outside_begins_the_object_anew_with_all_corrections(http_gateway: Gateway) -> None:
    line = np.ones((1, 1, 5), np.uint8)
    small, outside = ((10, 9, 8), (20, 18, 16)), (30, 25, 22)
    stroke = placed(line, (12, 12, 10)) != 0
    drawn: list[Click | Scribble] = [Scribble(stroke, False), Click(outside)]
    expected = masks_step_by_step(http_gateway, IMAGE, drawn, begin=[Box(*small)])
    with opened(http_gateway, IMAGE) as (client, mask):
        client.add_bbox_interaction(half_open(*small), True)
        client.add_scribble_interaction(line, False, interaction_bbox=bounds(line, (12, 12, 10)))
        client.add_point_interaction(backwards(outside), True)
        assert np.array_equal(mask, expected[1])
        assert not mask[stroke].any()
        assert mask[outside[::-1]]
        assert client.undo()
        assert np.array_equal(mask, expected[0])


def test_a_scribble_outside_begins_the_object_anew(http_gateway: Gateway) -> None:
    line = np.ones((1, 1, 6), np.uint8)
    first, second = (12, 12, 10), (32, 25, 22)
    drawn = [Scribble(placed(line, lower) != 0) for lower in (first, second)]
    expected = masks_step_by_step(http_gateway, IMAGE, drawn)
    with opened(http_gateway, IMAGE) as (client, mask):
        for lower, wanted in zip((first, second), expected, strict=True):
            client.add_scribble_interaction(line, True, interaction_bbox=bounds(line, lower))
            assert np.array_equal(mask, wanted)


@pytest.mark.parametrize(
    ("bbox", "shape", "words"),
    [
        ([[0, 1], [0, 3], [0, 4]], (1, 3, 3), "expected [1, 3, 4]"),
        ([[32, 33], [0, 3], [0, 3]], (1, 3, 3), "exceeds the image"),
        ([[0, 1], [0, 3], [-1, 2]], (1, 3, 3), "exceeds the image"),
        ([[0, 1], [0, 3], [0, 2.5]], (1, 3, 3), "exceeds the image"),
        ([[1, 1], [0, 3], [0, 3]], (1, 3, 3), "no extent"),
        ([[0, 1]], (1, 3, 3), "no box"),
        ("x", (1, 3, 3), "no box"),
        (None, (1, 3, 3), "expected [32, 36, 40]"),
    ],
)
def test_strokes_at_no_place(http_gateway: Gateway, bbox: object, shape: tuple[int, ...], words: str) -> None:
    part = np.ones(shape, np.uint8)
    meta = {"include_interaction": True, "interaction_bbox": bbox}
    with opened(http_gateway, IMAGE) as (client, _):
        for path in ("/add_scribble_interaction", "/add_lasso_interaction"):
            code, detail = refused(partial(client._post_binary, path, meta, pack_array(part)))
            assert (code, words in detail) == (400, True), detail


def test_boxes_with_less_than_a_height() -> None:
    geometry = Geometry((100, 100, 60), (1.0, 2.0, 3.0))
    assert give_height(Region((10, 20, 30), (19, 29, 30)), geometry) == Region((10, 20, 28), (19, 29, 32))
    assert give_height(Region((10, 20, 2), (19, 29, 2)), geometry) == Region((10, 20, 0), (19, 29, 4))
    whole = Region((10, 20, 30), (19, 29, 33))
    assert give_height(whole, geometry) == whole
    # A line, and a voxel: as round a point, of 50 x 60 x 60 mm.
    assert give_height(Region((10, 50, 30), (89, 50, 30)), geometry) == Region((10, 35, 20), (89, 65, 40))
    assert surround(Region((0, 0, 0), (0, 0, 0)), geometry) == Region((0, 0, 0), (25, 15, 10))
