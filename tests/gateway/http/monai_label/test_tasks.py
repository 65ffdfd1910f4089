"""Batches, training and scoring over MONAI Label's dialect."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sixpoint
from gateway.server import Gateway
from gateway.triton.local.server import LocalTriton
from gateway.worker import Worker
from sixpoint.volume import Volume
from tests.gateway.http.sites import HttpSite, read_mask
from tests.support.images import noisy_volume
from tests.support.servers import running_gateway

MODEL = "segmentation_hippocampus"
BATCH = f"/batch/infer/{MODEL}"
IMAGE = noisy_volume((24, 20, 18))


@pytest.fixture(scope="module")
def gateway(triton: LocalTriton) -> Iterator[Gateway]:
    settings: dict[str, Any] = {"http_port": 0, "viewer_dataset": "heads"}
    with running_gateway(triton_url=triton.address, **settings) as gateway:
        with sixpoint.Client(f"127.0.0.1:{gateway.port}") as client:
            client.datasets.create("heads", labels=["anterior", "posterior"])
        yield gateway


@pytest.fixture
def viewer(gateway: Gateway) -> HttpSite:
    return HttpSite.of(gateway)


def send(viewer: HttpSite, volume: Volume, folder: Path) -> str:
    volume.write(folder / "image.nrrd")
    files = {"file": ("image.nrrd", (folder / "image.nrrd").read_bytes())}
    return str(viewer.request("PUT", "/datastore/", files=files).json()["image"])


@pytest.mark.timeout(300)
def test_a_batch_makes_drafts_of_the_dataset(gateway: Gateway, viewer: HttpSite, tmp_path: Path) -> None:
    assert viewer.get("/batch/infer").status_code == 404
    assert viewer.request("DELETE", "/batch/infer").json() is None
    digest = send(viewer, IMAGE, tmp_path)
    task = viewer.request("POST", f"{BATCH}?images=unlabeled", json={"device": "cuda", "max_workers": 1}).json()
    assert (task["status"], task["request"]) == ("SUBMITTED", {"model": MODEL, "images": "unlabeled"})
    assert set(task) == {"id", "status", "request", "start_ts", "details"}
    again = viewer.request("POST", BATCH)
    assert (again.status_code, int(again.headers["retry-after"]) > 0) == (429, True), again.text
    assert viewer.get("/batch/infer?check_if_running=true").json()["id"] == task["id"]

    asyncio.run(Worker(gateway._settings, "worker").run(asyncio.Event(), idle=0.5))
    done = viewer.get("/batch/infer").json()
    assert (done["id"], done["status"]) == (task["id"], "DONE")
    assert done["details"][-1].startswith("1 images by")
    assert done["end_ts"] >= done["start_ts"]
    assert viewer.get("/batch/infer?check_if_running=true").status_code == 404
    assert [each["id"] for each in viewer.get("/batch/infer?all=true").json()] == [task["id"]]

    draft = viewer.get(f"/datastore/label?label={digest}&tag=original")
    with sixpoint.Client(f"127.0.0.1:{gateway.port}") as client:
        (info,) = client.datasets.annotations("heads")
        masks = client.datasets.masks(info.id)
        expected = np.zeros(IMAGE.array.shape, np.uint8)
        for number, name in enumerate(info.voxel_counts, start=1):
            expected[masks.mask(name).array > 0] = number
    assert np.array_equal(read_mask(draft.content, tmp_path / "draft.nrrd", IMAGE), expected)
    assert viewer.get(f"/datastore/label?label={digest}&tag=final").status_code == 404
    listed = viewer.get("/datastore/?output=all").json()["objects"][digest]["labels"]
    assert list(listed) == ["original", "version_1"]
    assert listed["original"]["info"]["params"]["model"] == MODEL


def test_a_batch_is_stopped(viewer: HttpSite, tmp_path: Path) -> None:
    send(viewer, Volume(IMAGE.array + np.int16(1), IMAGE.geometry), tmp_path)
    task = viewer.request("POST", BATCH).json()
    stopped = viewer.request("DELETE", "/batch/infer").json()
    assert (stopped["id"], stopped["status"]) == (task["id"], "STOPPED")
    assert viewer.request("DELETE", "/batch/infer").json() is None
    assert viewer.get("/batch/infer").json()["status"] == "STOPPED"


@pytest.mark.parametrize(
    ("address", "params", "code", "words"),
    [
        (f"{BATCH}?images=labeled", {}, 400, "left as it is"),
        (f"{BATCH}?images=../x", {}, 400, "expected all or unlabeled"),
        (f"{BATCH}?run_sync=true", {}, 400, "run_sync"),
        (BATCH, {"save_label": False}, 400, "save_label"),
        (BATCH, [1], 400, "expected an object"),
        ("/batch/infer/nothing", {}, 404, "nothing"),
        ("/batch/infer/annotation", {}, 409, "prompts"),
        ("/train/annotation", {}, 404, "SIXPOINT_WORKER_KINDS"),
        ("/train/", {}, 404, "SIXPOINT_WORKER_KINDS"),
        ("/scoring/dice", {}, 404, "agreement"),
    ],
)
def test_what_cannot_be_started_is_said(viewer: HttpSite, address: str, params: object, code: int, words: str) -> None:
    answer = viewer.request("POST", address, json=params)
    assert (answer.status_code, words in answer.text) == (code, True), (answer.status_code, answer.text)


def test_nothing_is_trained_or_scored_unasked(viewer: HttpSite) -> None:
    for path in ("/train/", "/train/?check_if_running=true", "/scoring/"):
        assert viewer.get(path).status_code == 404
    for path in ("/train/", "/scoring/"):
        assert viewer.request("DELETE", path).json() is None
    assert viewer.request("POST", "/scoring/").json() == {}
    info = viewer.get("/info/").json()
    assert (info["trainers"], info["train_stats"]) == ({}, {})


def test_without_a_dataset_there_is_nothing_to_segment(site: HttpSite) -> None:
    answer = site.request("POST", BATCH)
    assert (answer.status_code, "SIXPOINT_VIEWER_DATASET" in answer.text) == (409, True), answer.text
