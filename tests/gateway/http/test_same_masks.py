"""One image, one set of prompts, one mask: over every door, whatever way the image's axes run."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import json_format

import sixpoint
from gateway.server import Gateway
from sixpoint._typing import Array, Index
from sixpoint.geometry import Geometry
from sixpoint.mask import unpack
from sixpoint.prompts import Click, ExtremePoints
from sixpoint.protocol.converters import mask_from_message
from sixpoint.v1 import annotation_service_pb2 as annotation_pb
from sixpoint.volume import Volume
from tests.gateway.http.aiaa.clients import AiaaSite
from tests.gateway.http.itksnap.snap_client import SnapClient
from tests.gateway.http.nninteractive.clients import opened
from tests.gateway.http.objects import masks_step_by_step
from tests.gateway.http.rest.api import Api, click, read_box, six_points
from tests.gateway.http.sites import HttpSite, read_mask, split_form
from tests.gateway.prompts import POINTS
from tests.sixpoint.geometries import AXIS_ORDERS, Axes, Flips, reordered, rotation
from tests.support.images import noisy_volume

SIX: list[Index] = [(int(x), int(y), int(z)) for x, y, z in POINTS]
ADDED, TAKEN, INSIDE = (4, 17, 16), (20, 17, 16), (20, 18, 15)
# No two axes are alike.
STRAIGHT = Volume(
    noisy_volume((40, 36, 34)).array, Geometry((40, 36, 34), spacing=(0.7, 0.9, 1.5), origin=(12.5, -80, 33))
)
# None runs along the patient's.
OBLIQUE = Volume(
    STRAIGHT.array, replace(STRAIGHT.geometry, direction=tuple(rotation(1, 0.2, -0.3, 0.1).reshape(-1).tolist()))
)
# Each takes seconds: the others are for `make viewers`. Of these the last one is mirrored.
QUICK = {("oblique", 29), ("oblique", 34)}
REST = [pytest.mark.slow, pytest.mark.skipif(not os.environ.get("VIEWERS"), reason="takes minutes: make viewers")]
ORDERS = [
    pytest.param(stored, *order, id=f"{name}-{number}", marks=[] if (name, number) in QUICK else REST)
    for name, stored in (("straight", STRAIGHT), ("oblique", OBLIQUE))
    for number, order in enumerate(AXIS_ORDERS)
]


def moved(point: Index, axes: Axes, flips: Flips) -> Index:
    """A voxel of the image under its index in the other order."""
    size = STRAIGHT.geometry.size
    x, y, z = (size[axis] - 1 - point[axis] if flip else point[axis] for axis, flip in zip(axes, flips, strict=True))
    return x, y, z


@pytest.mark.viewer("the doors' masks in all orders of the axes")
@pytest.mark.parametrize(("stored", "axes", "flips"), ORDERS)
def test_all_doors_give_one_mask(
    http_gateway: Gateway, tmp_path: Path, stored: Volume, axes: Axes, flips: Flips
) -> None:
    file = tmp_path / "a.nii.gz"
    Volume(*reordered(stored.array, stored.geometry, axes, flips)).write(file)
    # NIfTI rounds what places an image.
    image = Volume.read(file)
    six = [moved(point, axes, flips) for point in SIX]
    added, taken, inside = (moved(point, axes, flips) for point in (ADDED, TAKEN, INSIDE))
    with session_of(http_gateway, image) as session:
        expected = [
            session.annotate(*prompts).array
            for prompts in ([ExtremePoints(six)], [Click(added)], [Click(taken, False)])
        ]
    assert len({mask.tobytes() for mask in expected}) == 3
    for door, masks in (
        ("MONAI Label", over_monai_label(http_gateway, image, file, (six, added, taken))),
        ("REST", over_rest(http_gateway, image, (six, added, taken))),
        ("Connect", over_connect(http_gateway, image, (six, added, taken))),
    ):
        for mask, wanted in zip(masks, expected, strict=True):
            assert np.array_equal(mask, wanted), door
    assert np.array_equal(over_aiaa(http_gateway, image, file, "dextr3d", {"points": six}), expected[0])
    # The others begin with a point; the second one is outside of what that began.
    clicks = [Click(inside), Click(added), Click(taken, False)]
    expected = masks_step_by_step(http_gateway, image, clicks)
    assert len({mask.tobytes() for mask in expected}) == 3
    snap = SnapClient(HttpSite.of(http_gateway, "").url)
    snap.show(image)
    # nnInteractive's protocol says nothing of where the axes run.
    placed = Volume(image.array, Geometry(image.geometry.size, image.geometry.spacing))
    without_axes = masks_step_by_step(http_gateway, placed, clicks)
    with opened(http_gateway, placed) as (client, mask):
        for number, click_now in enumerate(clicks):
            so_far = clicks[: number + 1]
            sent = {"foreground": [each.point for each in so_far if each.positive]}
            sent["background"] = [each.point for each in so_far if not each.positive]
            assert np.array_equal(over_aiaa(http_gateway, image, file, "deepgrow", sent), expected[number])
            x, y, z = map(int, click_now.point)
            assert np.array_equal(snap.point((x, y, z), foreground=click_now.positive), expected[number])
            client.add_point_interaction((z, y, x), click_now.positive)
            assert np.array_equal(mask, without_axes[number])


@contextlib.contextmanager
def session_of(gateway: Gateway, image: Volume) -> Iterator[sixpoint.Session]:
    with (
        sixpoint.Client(f"127.0.0.1:{gateway.port}") as client,
        client.open_session(image, model="annotation") as session,
    ):
        yield session


Points = tuple[Sequence[Index], Index, Index]


def over_monai_label(gateway: Gateway, image: Volume, file: Path, points: Points) -> Iterator[Array]:
    site, (six, added, taken) = HttpSite.of(gateway), points
    session = site.open_session(file)
    for foreground, background in (([*six], []), ([*six, added], []), ([*six, added], [taken])):
        params = {"foreground": foreground, "background": background, "result_extension": ".nrrd"}
        _, content = split_form(site.infer("annotation", params, session_id=session))
        yield read_mask(content, file.with_name("monai.nrrd"), image)


def over_rest(gateway: Gateway, image: Volume, points: Points) -> Iterator[Array]:
    api, (six, added, taken) = Api(HttpSite.of(gateway, "/api/v1").url), points
    segment = f"/sessions/{api.open(image)}/segments/1/prompts"
    for prompt in (six_points(six), click(added), click(taken, positive=False)):
        answer = api.request(
            "POST", segment, json={"prompts": [prompt]}, headers={"accept": "application/vnd.sixpoint.mask"}
        )
        yield read_box(answer, image)


def over_connect(gateway: Gateway, image: Volume, points: Points) -> Iterator[Array]:
    site, (six, added, taken) = HttpSite.of(gateway, "/sixpoint.v1."), points
    headers = {"connect-protocol-version": "1"}

    def send(call: str, body: object) -> Any:
        return site.request("POST", call, json=body, headers=headers).raise_for_status().json()

    opened = send("SessionService/CreateSession", {"imageDigest": image.digest, "model": "annotation"})
    for prompt in (six_points(six), click(added), click(taken, positive=False)):
        body = {"sessionId": opened["session"]["id"], "segment": 1, "prompts": [prompt]}
        answer = send("AnnotationService/Annotate", body)["answer"]
        packed = json_format.ParseDict(answer["mask"], annotation_pb.MaskPatch())
        yield unpack(mask_from_message(packed), image.geometry.size)


def over_aiaa(gateway: Gateway, image: Volume, file: Path, kind: str, params: object) -> Array:
    answer = AiaaSite.of(gateway).python("POST", f"/v1/{kind}?model=annotation", params=params, image=file)
    _, content = answer.parts()
    return read_mask(content, file.with_name("aiaa.nii.gz"), image)
