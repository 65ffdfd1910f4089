"""nnInteractive's own client: every call, in the order of viewers, and the masks of gRPC to the bit."""

from __future__ import annotations

import numpy as np
import pytest

import sixpoint
from gateway.server import Gateway
from sixpoint._typing import Array, Index
from sixpoint.geometry import Geometry
from sixpoint.prompts import Box, Click, InitialMask, Prompt
from sixpoint.volume import Volume
from tests.gateway.http.nninteractive.clients import (
    RemoteSession,
    backwards,
    door,
    half_open,
    initialise,
    opened,
    refused,
)
from tests.support.images import noisy_volume

# No two axes are alike.
IMAGE = Volume(noisy_volume((40, 36, 32)).array, Geometry((40, 36, 32), (0.7, 0.9, 2.5)))
MIDDLE, NEAR, OUTSIDE, INSIDE = (20, 18, 16), (12, 17, 16), (33, 18, 16), (4, 17, 16)
LOWER, UPPER = (8, 7, 6), (31, 28, 25)


def over_grpc(gateway: Gateway, *steps: list[Prompt]) -> list[Array]:
    with sixpoint.Client(f"127.0.0.1:{gateway.port}") as client, client.open_session(IMAGE) as session:
        return [session.annotate(*prompts).array for prompts in steps]


def test_a_viewer_connects_before_it_sends_an_image(http_gateway: Gateway) -> None:
    with RemoteSession(door(http_gateway) + "/") as client:
        assert client.ping()
        assert all(client.supported_interactions[tool] for tool in ("points", "bbox2d", "bbox3d", "scribble", "lasso"))
        assert client.supports_initial_label
        assert client.supports_undo
        assert len(client.preferred_scribble_thickness) == 3
        assert client.license == "CC-BY-SA-4.0"
        assert client.idle_timeout_seconds > client.liveness_timeout_seconds > 10
        client.set_do_autozoom(True)
        client.reset_interactions()
        assert refused(lambda: client.add_point_interaction((1, 1, 1), True)) == (
            400,
            "there is no image yet: send it first (Initialize in the viewer)",
        )
        client.set_image(IMAGE.array[None], {"spacing": backwards(IMAGE.geometry.spacing)})
        assert client.original_image_shape == (1, 32, 36, 40)
        assert not client.undo()
        assert refused(lambda: client.add_point_interaction((1, 1, 1), True)) == (
            400,
            "there is no target buffer yet: announce it first (/set_target_buffer)",
        )
        assert client.heartbeat() == pytest.approx(client.idle_timeout_seconds, abs=5)
        assert client.lease_status()["idle_timeout_seconds"] == client.idle_timeout_seconds


def test_points_give_the_masks_of_grpc(http_gateway: Gateway) -> None:
    expected = over_grpc(
        http_gateway,
        # Half of the image along each axis: 60 mm would be more.
        [Box((10, 9, 8), (30, 27, 24)), Click(MIDDLE)],
        [Click(NEAR)],
        [Click(OUTSIDE, False)],
    )
    with opened(http_gateway, IMAGE) as (client, mask):
        before = mask.copy()
        for point, positive, result in ((MIDDLE, True, 0), (NEAR, True, 1), (OUTSIDE, False, 2)):
            box = client.add_point_interaction([at + 0.3 for at in backwards(point)], positive)
            assert np.array_equal(mask, expected[result])
            assert box == changed_box(before, mask)
            before = mask.copy()
        for result in (1, 0):
            assert client.undo()
            assert np.array_equal(mask, expected[result])
        assert client.undo()
        assert not mask.any()
        assert not client.undo()


def changed_box(before: Array, after: Array) -> list[list[int]]:
    places = np.argwhere(before != after)
    return [[int(a), int(b) + 1] for a, b in zip(places.min(axis=0), places.max(axis=0), strict=True)]


def test_a_box_on_a_slice_gets_a_height(http_gateway: Gateway) -> None:
    # 24 x 0.7 and 22 x 0.9 mm, on average 18.3: half of it upwards and downwards are 4 slices of 2.5 mm.
    middle = (LOWER[2] + UPPER[2]) // 2
    flat = (*LOWER[:2], middle), (*UPPER[:2], middle)
    (expected,) = over_grpc(http_gateway, [Box((*LOWER[:2], middle - 4), (*UPPER[:2], middle + 4))])
    with opened(http_gateway, IMAGE) as (client, mask):
        client.add_bbox_interaction(half_open(*flat), True)
        assert np.array_equal(mask, expected)
        client.reset_interactions()
        assert not mask.any()
        # As napari draws it: backwards, with fractions.
        floats = [[high + 0.2, low - 0.2] for low, high in half_open(*flat)]
        client.add_bbox_interaction(floats, True)
        assert np.array_equal(mask, expected)


def test_a_box_and_what_is_taken_away_from_it(http_gateway: Gateway) -> None:
    (whole,) = over_grpc(http_gateway, [Box(LOWER, UPPER)])
    with opened(http_gateway, IMAGE) as (client, mask):
        assert refused(lambda: client.add_bbox_interaction(half_open(LOWER, UPPER), False))[0] == 400
        client.add_bbox_interaction(half_open(LOWER, UPPER), True)
        assert np.array_equal(mask, whole)
        client.add_bbox_interaction([[16, 18], [0, 18], [0, 40]], False)
        assert not mask[16:18, :18].any()
        mask[16:18, :18] = whole[16:18, :18]
        assert np.array_equal(mask, whole)
        assert client.undo()
        assert np.array_equal(mask, whole)
        assert "whole object" in refused(lambda: client.add_bbox_interaction([[0, 32], [0, 36], [0, 40]], False))[1]
        assert np.array_equal(mask, whole)


def test_one_more_box_joins_the_object_and_keeps_its_clicks(http_gateway: Gateway) -> None:
    first, second = ((8, 7, 10), (20, 28, 20)), ((18, 7, 10), (31, 28, 20))
    with opened(http_gateway, IMAGE) as (client, mask):
        client.add_bbox_interaction(half_open(*first), True)
        client.add_point_interaction(backwards(INSIDE), True)
        lower, upper = hull_of(mask, second)
        client.add_bbox_interaction(half_open(*second), True)
        assert mask[INSIDE[::-1]]
        assert np.array_equal(mask, over_grpc(http_gateway, [Box(lower, upper), Click(INSIDE)])[0])


def hull_of(mask: Array, box: tuple[Index, Index]) -> tuple[Index, Index]:
    """The smallest box (x, y, z) round a mask and another box."""
    places = np.argwhere(mask)[:, ::-1]
    lower = np.minimum(places.min(axis=0), box[0]).tolist()
    upper = np.maximum(places.max(axis=0), box[1]).tolist()
    return (lower[0], lower[1], lower[2]), (upper[0], upper[1], upper[2])


@pytest.mark.parametrize("run", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "bool", "int16"])
def test_a_mask_is_taken_over_and_corrected(http_gateway: Gateway, run: bool, dtype: str) -> None:
    seed = np.zeros(IMAGE.array.shape, dtype)
    seed[10:20, 10:25, 12:28] = 1
    expected = over_grpc(http_gateway, [InitialMask.of(seed != 0)], [Click((27, 24, 19), False)])
    with opened(http_gateway, IMAGE) as (client, mask):
        client.add_point_interaction(backwards(MIDDLE), True)
        point = mask.copy()
        box = client.add_initial_seg_interaction(seed, run_prediction=run)
        assert (box is not None) is run
        assert np.array_equal(mask, expected[0])
        client.add_point_interaction((19, 24, 27), False)
        assert np.array_equal(mask, expected[1])
        assert client.undo()
        assert client.undo()
        assert np.array_equal(mask, point)
        client.add_initial_seg_interaction(np.zeros_like(seed))
        assert not client.undo()


def test_what_waits_is_carried_out_when_it_is_asked_for(http_gateway: Gateway) -> None:
    with opened(http_gateway, IMAGE) as (client, mask):
        assert client._predict() is None
        client.add_bbox_interaction(half_open(LOWER, UPPER), True)
        client.add_point_interaction(backwards(OUTSIDE), False)
        expected = mask.copy()
        client.reset_interactions()
        assert client.add_bbox_interaction(half_open(LOWER, UPPER), True, run_prediction=False) is None
        assert client.add_point_interaction(backwards(MIDDLE), True, run_prediction=False) is None
        assert client.undo()
        client.add_point_interaction(backwards(OUTSIDE), False, run_prediction=False)
        assert not mask.any()
        client._predict(force_full_refine=True)
        assert np.array_equal(mask, expected)


def test_the_buffer_of_the_client_begins_empty(http_gateway: Gateway) -> None:
    with opened(http_gateway, IMAGE) as (client, mask):
        client.add_bbox_interaction(half_open(LOWER, UPPER), True)
        whole = mask.astype(np.int32)
        other = np.zeros(IMAGE.array.shape, np.int32)
        client.set_target_buffer(other)
        client.add_point_interaction(backwards(MIDDLE), True)
        assert other.any()
        assert client.undo()
        assert np.array_equal(other, whole)
        # An image that is sent again ends all that.
        again = initialise(client, IMAGE)
        assert not client.undo()
        assert not again.any()
