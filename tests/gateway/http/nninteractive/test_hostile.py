"""What a hostile or a mistaken client sends: refused in words, with a fitting code, and nothing changes."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import pytest
from nnInteractive.inference.remote.serialization import pack_array

from gateway.server import Gateway
from gateway.triton.local.server import LocalTriton
from sixpoint._typing import Array
from tests.gateway.http.nninteractive.clients import RemoteSession, backwards, door, half_open, opened, refused
from tests.gateway.http.nninteractive.test_client import IMAGE, LOWER, MIDDLE, UPPER
from tests.support.servers import running_gateway

POINT = {"coordinates": [16, 18, 20], "include_interaction": True}
BOX = {"include_interaction": True}
SPACING = {"image_properties": {"spacing": [1, 1, 1]}}


@dataclass
class Site:
    """A client with an object.

    Attributes:
        client: The client.
        mask: Its mask.
    """

    client: RemoteSession
    mask: Array

    def post(self, path: str, body: object, *, meta: object = None) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        text = meta if isinstance(meta, str) else json.dumps(meta)
        headers = {} if meta is None else {"X-Meta": text}
        return self.client._http.post(path, content=content, headers=headers)


@pytest.fixture(scope="module")
def site(http_gateway: Gateway) -> Iterator[Site]:
    with opened(http_gateway, IMAGE) as (client, mask):
        client.add_bbox_interaction(half_open(LOWER, UPPER), True)
        yield Site(client, mask)


def packed(shape: tuple[int, ...], dtype: str = "uint8") -> bytes:
    return pack_array(np.ones(shape, dtype))


LYING = struct.pack("<4sBBBB5s4qI", b"NNIA", 1, 1, 4, 5, b"uint8", 1, 2**31, 2**31, 2**31, 1)
NAN = np.full((1, 4, 4, 4), np.nan, np.float32)


@pytest.mark.parametrize(
    ("path", "body", "meta", "words"),
    [
        ("/add_point_interaction", b"{", None, "no JSON"),
        ("/add_point_interaction", [1], None, "expected an object"),
        ("/add_point_interaction", {}, None, "coordinates is no point"),
        ("/add_point_interaction", POINT | {"coordinates": [1, 2]}, None, "three numbers"),
        ("/add_point_interaction", POINT | {"coordinates": [1, 2, True]}, None, "three numbers"),
        ("/add_point_interaction", POINT | {"coordinates": [1, 2, 10**400]}, None, "three numbers"),
        ("/add_point_interaction", b'{"coordinates": [1, 2, NaN], "include_interaction": true}', None, "three numbers"),
        (
            "/add_point_interaction",
            POINT | {"coordinates": [32, 1, 1]},
            None,
            "32 along axis 0, whose voxels are 0 to 31",
        ),
        ("/add_point_interaction", POINT | {"coordinates": [1, 1, -0.6]}, None, "-0.6 along axis 2"),
        ("/add_point_interaction", {"coordinates": [1, 1, 1]}, None, "include_interaction is missing"),
        ("/add_point_interaction", POINT | {"run_prediction": 1}, None, "run_prediction"),
        ("/add_bbox_interaction", BOX, None, "no box"),
        ("/add_bbox_interaction", BOX | {"bbox_coords": [[0, 1]] * 2}, None, "no box"),
        ("/add_bbox_interaction", BOX | {"bbox_coords": [[0, 1], [0, 1], [0]]}, None, "no box"),
        ("/add_bbox_interaction", BOX | {"bbox_coords": [[3, 3], [0, 9], [0, 9]]}, None, "no extent along axis 0"),
        ("/add_bbox_interaction", BOX | {"bbox_coords": [[40, 50], [0, 9], [0, 9]]}, None, "40 to 50 along axis 0"),
        ("/add_bbox_interaction", BOX | {"bbox_coords": [[0, 9], [-9, -2], [0, 9]]}, None, "-9 to -2 along axis 1"),
        ("/add_initial_seg_interaction", b"", None, "ended early"),
        ("/add_initial_seg_interaction", packed((3, 3, 3)), None, "expected [32, 36, 40]"),
        ("/add_initial_seg_interaction", packed((1, 32, 36, 40)), None, "4 axes"),
        ("/add_initial_seg_interaction", packed((32, 36, 40), "float32"), None, "whole numbers"),
        ("/add_initial_seg_interaction", packed((32, 36, 40))[:-3], None, "ended early"),
        ("/add_initial_seg_interaction", packed((32, 36, 40)) + bytes(3 * 2**20), None, "the array in it"),
        ("/add_initial_seg_interaction", packed((32, 36, 40)), "{", "X-Meta is no JSON"),
        ("/add_initial_seg_interaction", packed((32, 36, 40)), {"run_prediction": "yes"}, "run_prediction"),
        ("/add_scribble_interaction", packed((1, 3, 3)), {}, "include_interaction is missing"),
        (
            "/add_lasso_interaction",
            packed((2, 36, 40)),
            BOX | {"interaction_bbox": [[0, 2], [0, 36], [0, 40]]},
            "slice",
        ),
        ("/add_lasso_interaction", b"", BOX | {"interaction_bbox": [[0, 1], [0, 3], [0, 3]]}, "ended early"),
        ("/set_image", b"", SPACING, "empty"),
        ("/set_image", b"garbage" * 99, SPACING, "no packed array"),
        ("/set_image", LYING, SPACING, "would take"),
        ("/set_image", packed((4, 4, 4)), SPACING, "3 axes"),
        ("/set_image", packed((2, 4, 4, 4)), SPACING, "2 channels"),
        ("/set_image", packed((1, 1, 4, 4)), SPACING, "at least two voxels"),
        ("/set_image", packed((1, 4, 4, 4))[:-1], SPACING, "ended early"),
        ("/set_image", pack_array(NAN), SPACING, "NaN"),
        ("/set_image", packed((1, 4, 4, 4)), "[]", "expected an object"),
        ("/set_image", packed((1, 4, 4, 4)), {"image_properties": 1}, "no object"),
        ("/set_image", packed((1, 4, 4, 4)), {"image_properties": {"spacing": [1, 1]}}, "three positive numbers"),
        ("/set_image", packed((1, 4, 4, 4)), {"image_properties": {"spacing": [1, 1, 0]}}, "three positive numbers"),
        (
            "/set_image",
            packed((1, 4, 4, 4)),
            '{"image_properties":{"spacing":[1,1,Infinity]}}',
            "three positive numbers",
        ),
        ("/set_image", packed((1, 4, 4, 4)), {"image_properties": {"spacing": [1e-9, 1, 1]}}, "spacing"),
        ("/set_target_buffer", {"shape": [32, 36, 40], "dtype": "float32"}, None, "dtype"),
        ("/set_target_buffer", {"shape": [32, 36, 40], "dtype": ["uint8"]}, None, "dtype"),
        ("/set_target_buffer", {"shape": [32, 36], "dtype": "uint8"}, None, "that of the image"),
        ("/set_do_autozoom", {}, None, "do_autozoom"),
        ("/predict", {"force_full_refine": 3}, None, "force_full_refine"),
    ],
)
def test_calls_that_are_refused(site: Site, path: str, body: object, meta: object, words: str) -> None:
    answer = site.post(path, body, meta=meta)
    assert answer.status_code == 400, answer.text
    assert words in answer.json()["detail"]
    assert "close" not in answer.headers.get("connection", "")


def test_the_object_is_as_it_was(site: Site) -> None:
    before = site.mask.copy()
    site.client.add_point_interaction(backwards(MIDDLE), True)
    assert site.client.undo()
    assert np.array_equal(site.mask, before)
    assert site.client.undo()
    assert not site.mask.any()
    assert not site.client.undo()


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("POST", "/nothing", 404),
        ("GET", "/set_image", 405),
        ("POST", "/capabilities", 405),
        ("GET", "/lease_status", 410),
        ("POST", "/heartbeat", 410),
        ("POST", "/undo", 410),
        ("POST", "/set_image", 410),
        ("POST", "/add_scribble_interaction", 410),
        ("POST", "/release", 200),
        ("GET", "/capabilities", 200),
        ("GET", "/healthz", 200),
    ],
)
def test_without_a_lease(http_gateway: Gateway, method: str, path: str, code: int) -> None:
    with httpx.Client(base_url=door(http_gateway), trust_env=False) as client:
        for token in (b"", b"0" * 32, b"\xe4"):
            answer = client.request(
                method, path, headers={b"X-Lease-Token": token}, content=b"x" * 3_000_000 if "image" in path else b""
            )
            assert answer.status_code == code, answer.text
            # Where there is no such call, nobody reads the body, and the connection ends with the answer.
            if code != 405:
                assert "close" not in answer.headers.get("connection", "")


def test_other_models(http_gateway: Gateway) -> None:
    for model, code in (("nothing", 404), ("segmentation_hippocampus", 400)):
        for path in ("claim", "capabilities", "healthz"):
            answer = httpx.request("POST" if path == "claim" else "GET", f"{door(http_gateway, model)}/{path}")
            assert answer.status_code == code
            assert model in answer.json()["detail"]


def test_a_body_that_is_too_large(triton: LocalTriton) -> None:
    settings: dict[str, Any] = {"triton_url": triton.address, "http_port": 0, "max_image_bytes": 2**20}
    with running_gateway(**settings) as gateway, opened(gateway, IMAGE) as (client, _):
        for path in ("/set_image", "/add_initial_seg_interaction"):
            answer = client._http.post(path, content=b"x" * (2**21 + 1))
            assert answer.status_code == 413
            assert "expected at most" in answer.json()["detail"]
        assert "would take" in refused(lambda: client.set_image(np.zeros((1, 200, 200, 200), np.int16)))[1]
        assert "at most" in refused(lambda: client.set_image(np.zeros((1, 90, 90, 90), np.int16)))[1]
