"""One image, one set of prompts, one mask: over every door, whatever way the image's axes run."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

import sixpoint
from gateway.http.windows.beginning import take_click
from gateway.server import Gateway
from sixpoint._typing import Array, Index
from sixpoint.geometry import Geometry
from sixpoint.prompts import Click, ExtremePoints, Prompt
from sixpoint.volume import Volume
from tests.gateway.http.aiaa.clients import AiaaSite
from tests.gateway.http.itksnap.snap_client import SnapClient
from tests.gateway.http.nninteractive.clients import opened
from tests.gateway.http.rest.api import Api, click, read_box, six_points
from tests.gateway.http.sites import HttpSite, read_mask, split_form
from tests.gateway.prompts import POINTS
from tests.sixpoint.geometries import AXIS_ORDERS, Axes, Flips, reordered, rotation
from tests.support.images import noisy_volume
from tests.support.models import DEAF_SPEC

SIX: list[Index] = [(int(x), int(y), int(z)) for x, y, z in POINTS]
ADDED, TAKEN, INSIDE = (4, 17, 16), (20, 17, 16), (20, 18, 15)
# No two axes are alike, and none runs along the patient's.
OBLIQUE = Volume(
    noisy_volume((40, 36, 34)).array,
    Geometry((40, 36, 34), (0.7, 0.9, 1.5), (12.5, -80, 33), tuple(rotation(1, 0.2, -0.3, 0.1).reshape(-1).tolist())),
)
# Each takes seconds: the others are for `make viewers`.
QUICK = 29
REST = [pytest.mark.slow, pytest.mark.skipif(not os.environ.get("VIEWERS"), reason="takes minutes: make viewers")]
ORDERS = [
    pytest.param(*order, id=str(number), marks=[] if number == QUICK else REST)
    for number, order in enumerate(AXIS_ORDERS)
]


def moved(point: Index, axes: Axes, flips: Flips) -> Index:
    """A voxel of the image under its index in the other order."""
    size = OBLIQUE.geometry.size
    x, y, z = (size[axis] - 1 - point[axis] if flip else point[axis] for axis, flip in zip(axes, flips, strict=True))
    return x, y, z


@pytest.mark.parametrize(("axes", "flips"), ORDERS)
def test_all_doors_give_one_mask(http_gateway: Gateway, tmp_path: Path, axes: Axes, flips: Flips) -> None:
    file = tmp_path / "a.nii.gz"
    Volume(*reordered(OBLIQUE.array, OBLIQUE.geometry, axes, flips)).write(file)
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
        ("AIAA", over_aiaa(http_gateway, image, file, six)),
    ):
        for mask, wanted in zip(masks, expected, strict=False):
            assert np.array_equal(mask, wanted), door
    # These begin with a point.
    begin: list[Prompt] = take_click(Click(inside), [], image.geometry, DEAF_SPEC)
    with session_of(http_gateway, image) as session:
        wanted = session.annotate(*begin).array
    snap = SnapClient(HttpSite.of(http_gateway, "").url)
    snap.show(image)
    assert np.array_equal(snap.point(inside), wanted)
    # nnInteractive's protocol says nothing of where the axes run.
    placed = Volume(image.array, Geometry(image.geometry.size, image.geometry.spacing))
    with session_of(http_gateway, placed) as session:
        wanted = session.annotate(*begin).array
    with opened(http_gateway, placed) as (client, mask):
        client.add_point_interaction(inside[::-1], True)
        assert np.array_equal(mask, wanted)


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


def over_aiaa(gateway: Gateway, image: Volume, file: Path, six: Sequence[Index]) -> Iterator[Array]:
    answer = AiaaSite.of(gateway).python("POST", "/v1/dextr3d?model=annotation", params={"points": six}, image=file)
    _, content = answer.parts()
    yield read_mask(content, file.with_name("aiaa.nii.gz"), image)
