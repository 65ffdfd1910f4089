"""The doors of AIAA, ITK-SNAP, MONAI Label and nnInteractive, with requests that no viewer should send.

Each is answered, with no fault of the gateway's own; no file comes into being outside of its state folder, and its
memory stays. ``FUZZ_EXAMPLES=400`` sends 10,000 requests to each door, instead of 100; ``FUZZ_SEED`` draws others.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

import sixpoint
from gateway.triton.local.server import LocalTriton
from tests.gateway.http.itksnap.snap_client import encode_image
from tests.gateway.process import GatewayProcess, gateway_process
from tests.gateway.prompts import POINTS
from tests.gateway.robustness.fuzzing import GROWTH_BYTES
from tests.gateway.robustness.http_fuzzing import FilePart, Mutator, WireRequest
from tests.gateway.robustness.nninteractive_requests import NnInteractiveRequests
from tests.support.images import noisy_volume
from tests.support.paths import ROOT
from tests.support.ports import free_port

pytestmark = [pytest.mark.triton, pytest.mark.slow]

CASES = 25 * int(os.environ.get("FUZZ_EXAMPLES", "4"))
SEED = int(os.environ.get("FUZZ_SEED", "20261202"))
SIX = POINTS.astype(int).tolist()
SQUARE = [[2, 1], [6, 1], [10, 1], [10, 5], [10, 9], [6, 9], [2, 9], [2, 5]]

SEGMENTS = ("object", "foreground_scribbles", "background_scribbles")
LABELS = ("object", "vessel", "bone")

Requests = Callable[[random.Random], WireRequest]


class AiaaRequests:
    """Requests as AIAA's clients send them."""

    def __init__(self, site: Mutator, image: bytes) -> None:
        self._file = FilePart("image", "/home/a/image.nii.gz", image)
        answer = site.send(WireRequest("PUT", "/session/", [("expiry", "0")], files=[self._file]), valid=True)
        self._session = str(json.loads(answer.body)["session_id"])

    def __call__(self, rng: random.Random) -> WireRequest:
        poly: dict[str, Any] = {"poly": [[], [SQUARE], []] * 10 + [[], []], "vertex_offset": [4, 2], "dimension": 3}
        poly |= {"polygon_index": 0, "vertex_index": 3, "slice_index": 1, "propagate_neighbor": 1}
        clicks = {"foreground": [[20, 17, 16]], "background": [[4, 4, 4]], "current_point": [20, 17, 16]}
        form = {"result_extension": ".nii.gz", "result_dtype": "uint8", "result_compress": True}
        params: list[tuple[str, str, Any]] = [
            ("dextr3d", "ellipsoid", {"points": SIX, **form}),
            ("deepgrow", "deaf", clicks),
            ("deepgrow", "clicks", clicks),
            ("deepgrow", "deaf_deepgrow_2d", {**clicks, "background": [[4, 4, 16]]}),
            ("inference", "clicks", {**clicks, "spatial_size": [64, 64, 64]}),
            ("inference", "ellipsoid", {"points": json.dumps(SIX)}),
            ("segmentation", "ellipsoid", {}),
        ]
        kind = rng.random()
        if kind < 0.04:
            body = WireRequest("PUT", "/session/", [("expiry", "5")], [("params", None)], [self._file])
            return body if rng.random() < 0.5 else replace(body, files=[replace(self._file, name="image0")])
        if kind < 0.07:
            name, value = rng.choice([("mask2polygon", {"more_points": 10}), ("fixpolygon", poly)])
            return WireRequest("POST", f"/v1/{name}", fields=[("params", value)], files=[self._file])
        call, model, value = rng.choice(params)
        if kind < 0.1:
            file = replace(self._file, name=rng.choice(("datapoint", "image")))
            return WireRequest(
                "POST", f"/v1/{call}", [("model", model)], [("params", value)], [file], name=f"own {call}"
            )
        if kind < 0.7:
            query = [("model", model), ("session_id", self._session), ("output", rng.choice(("", "image", "json")))]
            return WireRequest("POST", f"/v1/{call}", query, [("params", value)])
        return rng.choice(
            [
                WireRequest("GET", "/v1/models", [("label", "spleen"), ("type", "annotation")]),
                WireRequest("GET", "/v1/models", [("model", "clicks")]),
                WireRequest("GET", f"/session/{self._session}", name="GET /session/{id}"),
                WireRequest("DELETE", "/session/x", name="DELETE /session/x"),
                WireRequest("PUT", "/session/", content=b'{"dicom": {"series_uid": "1.2.3"}}', name="PUT dicom"),
                WireRequest("GET", "/logs/", [("lines", "100")]),
                WireRequest("GET", "/docs/"),
                WireRequest("GET", "/admin/model/clicks"),
                *(
                    WireRequest(method, "/admin/model/clicks", content=b'{"path": "x", "version": "1"}')
                    for method in ("PUT", "PATCH", "DELETE")
                ),
            ]
        )


class SnapRequests:
    """Requests as ITK-SNAP sends them."""

    def __init__(self, site: Mutator, image: bytes) -> None:
        del image
        self._ids = [self._begin(site, model) for model in ("deaf", "clicks")]

    def _begin(self, site: Mutator, model: str) -> str:
        answer = site.send(WireRequest("GET", f"/v2/start_session/{model}"), valid=True)
        session = str(json.loads(answer.body)["session_id"])
        assert site.send(self._image(session, "upload_raw"), valid=True).status == 200
        return session

    def _image(self, session: str, call: str) -> WireRequest:
        volume = noisy_volume()
        if call != "upload_raw":
            volume.array[:] = 0
            volume.array[16, 12:20, 12:20] = 1
        form = encode_image(volume)
        metadata = json.loads(form["metadata"][1])
        files = [FilePart("file", "image.gz", form["file"][1])]
        query = [("foreground", "true")] if call != "upload_raw" else [("filename", "upload.nii.gz")]
        return WireRequest("POST", f"/{call}/{session}", query, [("metadata", metadata)], files, name=call)

    def __call__(self, rng: random.Random) -> WireRequest:
        session, kind = rng.choice(self._ids), rng.random()
        if kind < 0.1:
            return self._image(session, "upload_raw")
        if kind < 0.3:
            return self._image(session, rng.choice(("process_scribble_interaction", "process_lasso_interaction")))
        version = rng.choice(("", "/v2"))
        if kind < 0.7:
            query = [*(("point", str(at)) for at in (20, 17, 16)), ("foreground", rng.choice(("true", "false")))]
            return WireRequest("GET", f"{version}/process_point_interaction/{session}", query, name="point")
        return rng.choice(
            [
                WireRequest("GET", "/status"),
                WireRequest("GET", f"{version}/models", name="models"),
                WireRequest("GET", f"{version}/start_session/clicks", name="start_session"),
                WireRequest("GET", f"{version}/reset_interactions/{session}", name="reset"),
                WireRequest("GET", f"{version}/end_session/x", name="end_session"),
            ]
        )


class MonaiRequests:
    """Requests as MONAI Label's clients send them."""

    def __init__(self, site: Mutator, image: bytes) -> None:
        self._file = FilePart("files", "/home/a/image.nii.gz", image)
        answer = site.send(WireRequest("PUT", "/session/", files=[self._file]), valid=True)
        self._session = str(json.loads(answer.body)["session_id"])
        stored = site.send(WireRequest("PUT", "/datastore/", [("image", "a")], files=[self._file]), valid=True)
        assert stored.status == 200, stored.body
        numbers = np.zeros((32, 36, 40), np.uint8)
        numbers[10:20, 8:24, 10:30], numbers[14, 14:18, 18:36], numbers[26:28, 4:9, 4:9] = 1, 2, 3
        # Voxels alone, as OHIF sends them.
        self._label = FilePart("label", "label.bin", numbers.tobytes())

    def __call__(self, rng: random.Random) -> WireRequest:
        points: dict[str, Any] = {"foreground": SIX, "background": [], "label": "object"}
        params = [
            points,
            {**points, "result_extension": ".nrrd", "result_dtype": "uint8", "roi": [1, 20, 1, 20, 1, 20]},
            {"object": SIX, "background": [[1, 1, 1]]},
            {"points": SIX, "point_labels": [1] * 6},
        ]
        kind, value = rng.random(), rng.choice(params)
        model = rng.choice(("ellipsoid", "clicks"))
        if kind < 0.03:
            return WireRequest("PUT", "/session/", files=[self._file])
        if kind < 0.06:
            query = [("image", "a"), ("tag", "final")]
            return rng.choice(
                [
                    WireRequest("PUT", "/datastore/", [("image", "b")], [("params", "{}")], [self._file]),
                    WireRequest("PUT", "/datastore/image", [("image", "c")], files=[self._file]),
                    WireRequest(
                        "PUT", "/datastore/label", query, [("params", {})], [replace(self._file, name="label")]
                    ),
                ]
            )
        if kind < 0.15:
            return self._label_request(rng)
        if kind < 0.18:
            file = replace(self._file, name="file")
            return WireRequest("POST", f"/infer/{model}", (), [("params", value)], [file], name="infer a file")
        if kind < 0.65:
            query = [("session_id", self._session), ("output", rng.choice(("", "image", "json", "all", "dicom_seg")))]
            if rng.random() < 0.2:
                query = [("image", "a")]
            return WireRequest("POST", f"/infer/{model}", query, [("params", value)], name="infer")
        image = [("image", "a")]
        return rng.choice(
            [
                WireRequest("GET", "/info/"),
                WireRequest("GET", "/logs/", [("lines", "100")]),
                WireRequest("GET", f"/session/{self._session}", name="GET /session/{id}"),
                WireRequest("DELETE", "/session/x", name="DELETE /session/x"),
                WireRequest("GET", "/datastore/", [("output", "all")]),
                WireRequest("GET", "/datastore/image", image),
                WireRequest("GET", "/datastore/image/info", image),
                WireRequest("GET", "/datastore/label", [("label", "a"), ("tag", "final")]),
                WireRequest("POST", "/activelearning/random", content=b'{"client_id": "user"}'),
                WireRequest("POST", "/train/x", content=b"{}"),
                WireRequest("GET", "/train/", [("check_if_running", "true")]),
                WireRequest("POST", "/scoring/", content=b"{}"),
                WireRequest("POST", "/batch/infer/segmentation_hippocampus", [("images", "all")], content=b"{}"),
                WireRequest("GET", "/batch/infer", [("check_if_running", "true"), ("all", "true")]),
                WireRequest("DELETE", "/batch/infer"),
                WireRequest("HEAD", "/datastore/image", [*image, ("check_sum", f"SHA256:{'0' * 64}")]),
                WireRequest("GET", "/auth/token/valid"),
                WireRequest("GET", "/proxy/dicom/qido/studies"),
                WireRequest("DELETE", "/datastore/", [("id", "a")]),
            ]
        )

    def _label_request(self, rng: random.Random) -> WireRequest:
        """A label that is saved, reviewed or looked for, or one with scribbles on it."""
        info = [{"name": name, "id": number} for number, name in enumerate(SEGMENTS, start=1)]
        params = {"label_info": info, "selected_label_name": "object", "roi": []}
        review = {"segmentationMeta": {"status": rng.choice(("approved", "flagged")), "comment": "x"}}
        image, tag = ("image", "a"), ("tag", "final")
        saved = {"label_info": [{"name": name, "idx": each["id"]} for name, each in zip(LABELS, info, strict=True)]}
        place = [("label", "a"), tag]
        packed = f"params={quote(json.dumps(review))}".encode()
        url_encoded = [("content-type", "application/x-www-form-urlencoded")]
        return rng.choice(
            [
                WireRequest(
                    "POST", "/infer/clicks_scribbles", [image], [("params", params)], [self._label], name="scribbles"
                ),
                WireRequest("PUT", "/datastore/label", [image, tag], [("params", saved)], [self._label]),
                WireRequest("PUT", "/datastore/label/info", place, [("info", review)]),
                WireRequest("PUT", "/datastore/updatelabelinfo", place, content=packed, headers=url_encoded),
                WireRequest("GET", "/datastore/label/info", place),
                WireRequest("HEAD", "/datastore/label", [image, tag]),
                WireRequest(
                    "POST", "/auth/token", content=b"username=a&password=b&grant_type=password", headers=url_encoded
                ),
            ]
        )


DOORS: dict[str, Callable[[Mutator, bytes], Requests]] = {
    "aiaa": AiaaRequests,
    "itksnap": SnapRequests,
    "monailabel": MonaiRequests,
    "nninteractive": lambda site, _: NnInteractiveRequests(site, noisy_volume()),
}


@pytest.fixture(scope="module")
def process(triton: LocalTriton, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    settings: dict[str, Any] = {"http_port": free_port(), "max_sessions": 100_000, "upload_idle_seconds": 1.0}
    # Jobs wait: another process would change what the gateway takes.
    settings |= {"viewer_dataset": "organs", "job_workers": 0}
    with gateway_process(triton.address, tmp_path_factory.mktemp("state"), **settings) as running:
        with sixpoint.Client(running.address) as client:
            client.datasets.create("organs", labels=[*LABELS, "anterior", "posterior"])
        yield running


@pytest.mark.no_cover  # The gateway is another process.
@pytest.mark.timeout(max(300, CASES))
@pytest.mark.parametrize("door", DOORS)
def test_whatever_comes_is_answered(process: GatewayProcess, tmp_path: Path, door: str) -> None:
    noisy_volume().write(tmp_path / "a.nii.gz")
    rng, escape = random.Random(f"{SEED} {door}"), f"sixpoint-escaped-{secrets.token_hex(6)}"
    site = Mutator(rng, int(str(process.settings["http_port"])), f"/{door}", escape)
    draw, before_files = DOORS[door](site, (tmp_path / "a.nii.gz").read_bytes()), files()
    seen, memory = Counter[tuple[str, int]](), 0
    for number in range(CASES):
        if number == CASES // 5:
            memory = process.memory
        if number % 1000 == 999:
            print(f"{door}: {number + 1} cases, {process.memory / 2**20:.1f} MiB", flush=True)  # noqa: T201
        request = draw(rng)
        answer = site.send(request, valid=rng.random() < 0.1)
        seen[request.label, answer.status] += 1
        assert answer.status < 500, f"case {number}: {request.label} ended with {answer.status}: {answer.body[:300]!r}"
    growth = process.memory - memory
    codes = Counter(code for _, code in seen.elements())
    print(f"{door}: {dict(codes)}; {growth / 2**20:+.1f} MiB after {CASES // 5} cases")  # noqa: T201
    assert codes[200] > CASES // 20
    assert growth < GROWTH_BYTES
    assert (process.running.poll(), files()) == (None, before_files)
    for folder in (Path(tempfile.gettempdir()), Path("/tmp"), Path("/"), ROOT, ROOT.parent, process.state):
        assert not list(folder.glob(f"*{escape}*"))
    assert not list(process.state.rglob(f"*{escape}*"))
    assert not list((process.state / "cache" / "http").iterdir())


def files() -> list[str]:
    """Return what lies in the checkout; processes that are measured leave their coverage there."""
    return sorted(path.name for path in ROOT.iterdir() if not path.name.startswith(".coverage"))
