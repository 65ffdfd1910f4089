"""Training over MONAI Label's dialect: jobs of the kind train, for the dataset of the viewers."""

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
from tests.gateway.http.sites import HttpSite
from tests.support.images import noisy_volume
from tests.support.paths import ROOT
from tests.support.servers import running_gateway

MODEL = "segmentation_hippocampus"
TRAIN = f"/train/{MODEL}"

pytestmark = pytest.mark.filterwarnings("ignore::sixpoint.ImplausibleImageWarning")


@pytest.fixture(scope="module")
def gateway(triton: LocalTriton, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    settings: dict[str, Any] = {
        "http_port": 0,
        "viewer_dataset": "lumps",
        "worker_kinds": "segment,train",
        "jobs_folder": tmp_path_factory.mktemp("jobs"),
        "triton_model_repository": ROOT / "model_repository",
    }
    with running_gateway(triton_url=triton.address, **settings) as gateway:
        with sixpoint.Client(f"127.0.0.1:{gateway.port}") as client:
            client.datasets.create("lumps", labels=["lump"], validation_share=0, test_share=0)
        yield gateway


@pytest.fixture
def viewer(gateway: Gateway) -> HttpSite:
    return HttpSite.of(gateway)


def accept(client: sixpoint.Client, count: int) -> None:
    for number in range(count):
        volume = noisy_volume((40, 36, 32))
        mask = np.zeros(volume.array.shape, np.uint8)
        mask[8:22, 9:24, 10 + number : 26] = 1
        image = Volume(volume.array + np.int16(number) + np.int16(500) * mask, volume.geometry)
        digest = client.datasets.add_image("lumps", image, case_name=f"case-{number}").digest
        client.datasets.review(client.datasets.add_masks("lumps", digest, {"lump": mask}).id, "accepted")


def test_what_can_be_trained_is_listed(viewer: HttpSite) -> None:
    trainers = viewer.get("/info/").json()["trainers"]
    assert trainers[MODEL]["config"] == {"minutes": 60, "modality": ["MR"], "mirror": False}
    assert trainers["annotation"]["config"]["modality"] == ["CT", "MR", "PT", "US"]
    assert all(trainer["description"] for trainer in trainers.values())


def test_a_training_is_started_watched_and_stopped(gateway: Gateway, viewer: HttpSite) -> None:
    # As 3D Slicer starts it, with the config of the trainer.
    params = {"minutes": 5, "modality": "MR", "mirror": False, "client_id": "ada"}
    task = viewer.request("POST", TRAIN, json=params).json()
    assert set(task) == {"id", "status", "request", "start_ts", "details"}
    assert (task["status"], task["request"]["model"], task["request"]["minutes"]) == ("SUBMITTED", MODEL, 5)
    assert task["request"]["run"].startswith(f"{MODEL}-")
    with sixpoint.Client(f"127.0.0.1:{gateway.port}") as client:
        job = client.jobs.get(task["id"])
    assert (job.kind, job.parameters["dataset"], job.parameters["task"]) == ("train", "lumps", "segmentation")
    again = viewer.request("POST", "/train/annotation", json={})
    assert (again.status_code, int(again.headers["retry-after"]) > 0) == (429, True), again.text
    queued = viewer.request("POST", "/train/annotation?enqueue=true", json={"modality": ["PT", "CT"]}).json()
    assert queued["request"]["modality"] == "PT"
    assert viewer.get("/train/?check_if_running=true").json()["id"] == queued["id"]
    assert [each["id"] for each in viewer.get("/train/?all=true").json()] == [task["id"], queued["id"]]
    assert viewer.get("/info/").json()["train_stats"][MODEL]["epoch"] == 0
    for expected in (queued, task):
        stopped = viewer.request("DELETE", "/train/").json()
        assert (stopped["id"], stopped["status"]) == (expected["id"], "STOPPED")
    assert viewer.request("DELETE", "/train/").json() is None
    assert viewer.get("/train/?check_if_running=true").status_code == 404
    # Trainings are no batches.
    assert viewer.get("/batch/infer").status_code == 404


def test_several_models_are_trained_as_ohif_asks(viewer: HttpSite) -> None:
    answer = viewer.request("POST", "/train/", json={"annotation": {}, "nothing": {}, "client_id": "x"}).json()
    assert answer["annotation"]["result"]["status"] == "SUBMITTED"
    assert answer["annotation"]["detail"] is None
    assert (answer["nothing"]["result"], "nothing" in answer["nothing"]["detail"]) == (None, True)
    assert viewer.request("DELETE", "/train/").json()["id"] == answer["annotation"]["result"]["id"]


@pytest.mark.parametrize(
    ("address", "params", "code", "words"),
    [
        (TRAIN, {"max_epochs": 1}, 400, "max_epochs"),
        (TRAIN, {"run": "../../x"}, 400, "run"),
        (TRAIN, {"dataset": "other"}, 400, "dataset"),
        (TRAIN, {"minutes": "soon"}, 400, "minutes"),
        (TRAIN, {"modality": "--seed"}, 400, "modality"),
        (TRAIN, [1], 400, "expected an object"),
        ("/train/annotation", {"mirror": True}, 400, "mirror"),
        (f"{TRAIN}?run_sync=true", {}, 400, "run_sync"),
        ("/train/nothing", {}, 404, "nothing"),
        ("/train/", {"nothing": {}}, 404, "nothing"),
        ("/train/", {}, 400, "annotation"),
    ],
)
def test_what_cannot_be_trained_is_said(viewer: HttpSite, address: str, params: object, code: int, words: str) -> None:
    answer = viewer.request("POST", address, json=params)
    assert (answer.status_code, words in answer.text) == (code, True), (answer.status_code, answer.text)
    assert viewer.get("/train/?check_if_running=true").status_code == 404


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_trainer_trains(gateway: Gateway, viewer: HttpSite) -> None:
    with sixpoint.Client(f"127.0.0.1:{gateway.port}") as client:
        accept(client, 5)
    task = viewer.request("POST", TRAIN, json={"minutes": 5, "steps": 1, "batch": 1}).json()
    asyncio.run(Worker(gateway._settings, "worker").run(asyncio.Event(), idle=0.5))
    done = viewer.get("/train/").json()
    assert (done["id"], done["status"]) == (task["id"], "DONE"), done
    stats = viewer.get("/info/").json()["train_stats"]
    assert next(iter(stats)) == MODEL
    assert (stats[MODEL]["epoch"], stats[MODEL]["total_epochs"]) == (100, 100)
    assert stats[MODEL]["total_time"]
    folder = gateway._settings.jobs_folder
    assert folder
    assert (folder / "default" / "runs" / task["request"]["run"] / "checkpoint.pt").is_file()


def test_without_a_dataset_there_is_nothing_to_train_on(triton: LocalTriton, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"http_port": 0, "worker_kinds": "train", "jobs_folder": tmp_path}
    with running_gateway(triton_url=triton.address, **settings) as gateway:
        site = HttpSite.of(gateway)
        answer = site.request("POST", TRAIN)
        assert (answer.status_code, "SIXPOINT_VIEWER_DATASET" in answer.text) == (409, True), answer.text
        assert site.get("/info/").json()["trainers"] == {}
