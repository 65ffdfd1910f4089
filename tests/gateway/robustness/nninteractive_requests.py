"""Requests as nnInteractive's clients send them, for the test that changes them."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
from nnInteractive.inference.remote.serialization import pack_array

from sixpoint._typing import Array
from sixpoint.volume import Volume
from tests.gateway.robustness.http_fuzzing import Mutator, WireRequest

__all__ = ["NnInteractiveRequests"]

_PREFIX = "/clicks"
_BOX = [[4, 28], [5, 30], [4, 33]]
_JSON = ("content-type", "application/json")
# A lease is claimed anew after so many requests: one of them may have released it.
_LEASED = 25


class NnInteractiveRequests:
    """Requests on one image, each with a lease.

    Args:
        site: Claims leases.
        image: The image.
    """

    def __init__(self, site: Mutator, image: Volume) -> None:
        self._site = site
        self._image = pack_array(image.array[None].astype(np.float32))
        self._spacing = {"image_properties": {"spacing": list(image.geometry.spacing[::-1])}}
        self._shape = list(image.array.shape)
        mask = np.zeros(image.array.shape, np.uint8)
        mask[12:20, 12:20, 12:24] = 1
        self._mask = pack_array(mask)
        self._slice = pack_array(_contour(mask[15:16]))
        self._count, self._lease = 0, ""

    def __call__(self, rng: random.Random) -> WireRequest:
        self._count += 1
        if self._count % _LEASED == 1:
            self._claim()
        body = {"include_interaction": rng.random() < 0.7, "run_prediction": rng.random() < 0.5}
        where = {**body, "interaction_bbox": [[15, 16], [0, self._shape[1]], [0, self._shape[2]]]}
        calls: list[tuple[str, Any, bytes | None]] = [
            ("add_point_interaction", {**body, "coordinates": [16, 17, 20]}, None),
            ("add_bbox_interaction", {**body, "bbox_coords": _BOX}, None),
            ("add_scribble_interaction", where, self._slice),
            ("add_lasso_interaction", where, self._slice),
            ("add_initial_seg_interaction", {"run_prediction": True}, self._mask),
            ("set_target_buffer", {"shape": self._shape, "dtype": "uint8"}, None),
            ("set_do_autozoom", {"do_autozoom": True}, None),
            ("predict", {"force_full_refine": False}, None),
            ("reset_interactions", {}, None),
            ("undo", {}, None),
            ("heartbeat", {}, None),
        ]
        kind = rng.random()
        if kind < 0.04:
            return self._request("set_image", self._spacing, self._image)
        if kind < 0.08:
            path = rng.choice(("healthz", "capabilities", "lease_status", ""))
            return WireRequest("GET", f"{_PREFIX}/{path}", headers=[("x-lease-token", self._lease)], name=f"GET {path}")
        if kind < 0.09:
            return self._request("release", {}, None)
        name, fields, array = rng.choice(calls)
        if rng.random() < 0.5:
            fields = self._site.value(fields)
        return self._request(name, fields, array)

    def _request(self, name: str, fields: Any, array: bytes | None) -> WireRequest:
        """A call whose fields are its body, or a header beside an array."""
        text = json.dumps(fields)
        lease = ("x-lease-token", self._lease)
        if array is None:
            return WireRequest("POST", f"{_PREFIX}/{name}", content=text.encode(), headers=[lease, _JSON], name=name)
        return WireRequest("POST", f"{_PREFIX}/{name}", content=array, headers=[lease, ("x-meta", text)], name=name)

    def _claim(self) -> None:
        if self._lease:
            self._site.send(self._request("release", {}, None), valid=True)
        answer = self._site.send(WireRequest("POST", f"{_PREFIX}/claim"), valid=True)
        self._lease = str(json.loads(answer.body)["lease_token"])
        for request in (
            self._request("set_image", self._spacing, self._image),
            self._request("set_target_buffer", {"shape": self._shape, "dtype": "uint8"}, None),
        ):
            assert self._site.send(request, valid=True).status == 200


def _contour(mask: Array) -> Array:
    """The edge of what a slice has."""
    edge = mask.copy()
    edge[:, 13:19, 13:23] = 0
    return edge
