"""AIAA's dialect under load: nothing stalls the event loop, calls that meet do not harm each other, and no call fails
with an error of the gateway's own."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import sixpoint
from gateway.server import Gateway
from gateway.triton.local.server import LocalTriton
from sixpoint.geometry import Geometry
from sixpoint.prompts import ExtremePoints
from sixpoint.volume import Volume
from tests.gateway.http.aiaa.clients import AiaaSite
from tests.gateway.http.sites import read_mask
from tests.gateway.prompts import POINTS
from tests.support.event_loop import StallWatch
from tests.support.images import noisy_volume
from tests.support.servers import running_gateway

pytestmark = [pytest.mark.triton, pytest.mark.slow]

LIMIT_S = 0.05
SIX = POINTS.astype(int).tolist()


@pytest.fixture(scope="module")
def watch() -> StallWatch:
    return StallWatch()


@pytest.fixture(scope="module")
def watched(triton: LocalTriton, watch: StallWatch) -> Iterator[Gateway]:
    with running_gateway(triton_url=triton.address, watch=watch, http_port=0) as gateway:
        yield gateway


def test_polygons_leave_the_event_loop_free(watched: Gateway, watch: StallWatch, tmp_path: Path) -> None:
    site = AiaaSite.of(watched)
    x, y = np.indices((512, 512))
    disc = (x - 256) ** 2 + (y - 250) ** 2 < 200**2
    Volume(np.repeat(disc[None], 100, axis=0).astype(np.uint8), Geometry((512, 512, 100))).write(tmp_path / "m.nii.gz")
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((2000, 2000), np.uint8)), str(tmp_path / "s.png"))
    polygon = [[n % 1999, n * 7 % 1999] for n in range(2000)]

    def work() -> None:
        answer = site.python("POST", "/v1/mask2polygon", params={"more_points": 10}, image=tmp_path / "m.nii.gz")
        slices = json.loads(answer.body)
        assert [len(polygons) for polygons in slices] == [1] * 100
        pull = {"polygon_index": 0, "vertex_index": 3, "vertex_offset": [9, 9], "propagate_neighbor": 5}
        volume = {"poly": slices, "slice_index": 50, "propagate_neighbor_3d": 9, **pull}
        assert site.python("POST", "/v1/fixpolygon", params=volume, image=tmp_path / "m.nii.gz").status == 200
        for poly in ([polygon], [[[0, 0]] * 120_000], [[[n, n]] for n in range(1000)]):
            flat = {"poly": poly, **pull, "vertex_index": 0}
            assert site.python("POST", "/v1/fixpolygon", params=flat, image=tmp_path / "s.png").status == 200

    assert watch.largest_stall(work, limit=LIMIT_S) < LIMIT_S


def test_calls_of_a_session_that_meet_are_each_answered_for_their_points(watched: Gateway, tmp_path: Path) -> None:
    image = noisy_volume()
    image.write(tmp_path / "a.nii.gz")
    site = AiaaSite.of(watched)
    path = f"/v1/dextr3d?model=annotation&session_id={site.open_session(tmp_path / 'a.nii.gz')}"
    asked = [[[x, y, min(z + n, 31)] for x, y, z in SIX] for n in range(4)] * 3
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda points: site.python("POST", path, params={"points": points}).parts(), asked))
    with (
        sixpoint.Client(f"127.0.0.1:{watched.port}") as client,
        client.open_session(Volume.read(tmp_path / "a.nii.gz")) as session,
    ):
        expected = [session.annotate(ExtremePoints(points)).array for points in asked[:4]]
    for number, (params, content) in enumerate(answers):
        assert params["points"] == asked[number]
        assert np.array_equal(read_mask(content, tmp_path / "mask.nii.gz", image), expected[number % 4])


def test_nothing_that_is_sent_is_an_error_of_the_gateway(watched: Gateway, tmp_path: Path) -> None:
    codes = fuzz(AiaaSite.of(watched), tmp_path, seed=1, count=120)
    assert max(codes) < 500
    assert {200, 400, 404} <= set(codes)


def fuzz(site: AiaaSite, folder: Path, *, seed: int, count: int) -> dict[int, int]:
    """Send calls of which some are right; return how often each status code came."""
    rng, codes = random.Random(seed), dict[int, int]()
    noisy_volume((20, 18, 16)).write(folder / "a.nii.gz")
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((12, 16), np.uint8)), str(folder / "a.png"))
    (folder / "damaged.nii.gz").write_bytes((folder / "a.nii.gz").read_bytes()[:300])
    (folder / "empty.nrrd").write_bytes(b"")
    sessions = [site.open_session(folder / "a.nii.gz"), "x", f"{'0' * 64}-{'a' * 26}", ""]
    numbers: list[object] = [
        0,
        1,
        5,
        9,
        -1,
        15,
        16,
        10**9,
        1e308,
        0.5,
        None,
        True,
        "7",
        [],
        {},
        float("nan"),
        -(10**400),
    ]

    def junk(depth: int = 3) -> object:
        if depth == 0 or rng.random() < 0.3:
            return rng.choice(numbers)
        return [junk(depth - 1) for _ in range(rng.choice([0, 1, 2, 3, 3, 3, 6]))]

    def points() -> object:
        shape = [[rng.randrange(20), rng.randrange(18), rng.randrange(16)] for _ in range(rng.choice([1, 6, 6, 6, 7]))]
        return rng.choice([shape, json.dumps(shape), junk()])

    names = ["points", "foreground", "background", "poly", "prev_poly", "vertex_offset", "polygon_index", "more_points"]
    names += ["vertex_index", "propagate_neighbor", "dimension", "result_extension", "result_dtype", "slice_index"]
    for _ in range(count):
        method, path = rng.choice(
            [("POST", f"/v1/{kind}") for kind in ("dextr3d", "deepgrow", "segmentation", "inference", "fixpolygon")]
            + [("POST", "/v1/mask2polygon"), ("PUT", "/session/"), ("GET", "/session/"), ("DELETE", "/session/")]
            + [("GET", "/v1/models"), ("PUT", "/admin/model/x"), ("GET", "/v1/dextr3d"), ("POST", "/v1/%00")]
        )
        session, model = (
            rng.choice(sessions),
            rng.choice(["annotation"] * 5 + ["clicks", "segmentation_hippocampus", "none", "", "%ff"]),
        )
        if path == "/session/" and method != "PUT":
            path += rng.choice(sessions[1:])
        query = f"?model={model}&session_id={session}&expiry={rng.choice(['0', '60', '-1', 'x'])}&output="
        params = {rng.choice(names): rng.choice([points(), junk()]) for _ in range(rng.randrange(5))}
        if rng.random() < 0.5:
            params |= {"points": points(), "foreground": points()}
        text = rng.choice([json.dumps(params)] * 6 + ["", "null", "[", "[" * 5000, "\x00", '{"points": 1e999}'])
        files = [folder / name for name in ("a.nii.gz", "a.png", "damaged.nii.gz", "empty.nrrd")]
        answer = site.python(
            method,
            path + query + rng.choice(["", "", "", "image", "json", "x"]),
            params=rng.choice([text, text, None]),
            image=rng.choice([*files, None, None]),
            field=rng.choice(["datapoint", "image", "image0", "other", "params"]),
        )
        codes[answer.status] = codes.get(answer.status, 0) + 1
        if answer.status >= 500:
            raise AssertionError((method, path, query, text[:300], answer.body))
        if answer.status >= 400 and answer.headers["content-type"] == "application/json":
            assert answer.body
            assert str(folder).encode() not in answer.body
    return codes
