"""Jobs over the API: made, listed, watched, paused, resumed, cancelled."""

from __future__ import annotations

import json
import secrets
from typing import Any

import pytest

from gateway.http.rest import examples
from sixpoint.volume import Volume
from tests.gateway.http.rest.api import Api


@pytest.fixture
def job(api: Api, image: Volume) -> dict[str, Any]:
    """A job that waits: nothing runs it here."""
    name = f"hippocampi {secrets.token_hex(4)}"
    labels = [{"number": number, "name": label} for number, label in enumerate(("anterior", "posterior"), 1)]
    api.json("POST", "/datasets", {"name": name, "labels": labels}, status=201)
    api.json("POST", f"/datasets/{name}/images", {"images": [{"image_digest": image.digest}]})
    parameters = {**examples.JOB["parameters"], "dataset": name}
    answer = api.request("POST", "/jobs", json={**examples.JOB, "parameters": parameters, "priority": 3})
    made: dict[str, Any] = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (201, f"jobs/{made['id']}")
    assert (made["kind"], made["state"], made["priority"]) == ("segment", "JOB_STATE_QUEUED", 3)
    return made


def test_a_job_is_paused_watched_resumed_and_cancelled(api: Api, job: dict[str, Any]) -> None:
    path = f"/jobs/{job['id']}"
    assert api.json("GET", path) == job
    assert job["id"] in {each["id"] for each in api.json("GET", "/jobs?state=JOB_STATE_QUEUED")["jobs"]}
    paused = api.json("POST", f"{path}/pause")
    assert paused["state"] == "JOB_STATE_PAUSED"
    watched = api.get(f"{path}/events")
    assert watched.headers["content-type"].startswith("text/event-stream")
    name, data = watched.text.strip().splitlines()
    assert (name, json.loads(data.removeprefix("data: "))) == ("event: job", paused)
    assert api.json("POST", f"{path}/resume")["state"] == "JOB_STATE_QUEUED"
    assert api.json("POST", f"{path}/cancel")["state"] == "JOB_STATE_CANCELLED"
    assert api.json("GET", f"{path}/lines").get("lines", []) == []
    assert api.json("POST", f"{path}/cancel")["state"] == "JOB_STATE_CANCELLED"
    again = api.request("POST", f"{path}/resume")
    assert (again.status_code, "cancelled" in again.json()["detail"]) == (409, True)


def test_what_is_no_job_is_said(api: Api) -> None:
    unknown = api.get(f"/jobs/{'a' * 26}/events")
    assert (unknown.status_code, unknown.json()["reason"]) == (404, "JOB_NOT_FOUND")
    for body, word in (({"kind": "dance"}, "kind"), ({"kind": "segment", "parameters": {}}, "dataset")):
        refused = api.request("POST", "/jobs", json=body)
        assert (refused.status_code, word in refused.json()["detail"]) == (400, True)
    for text in (
        b'{"kind": "segment", "parameters": {"dataset": NaN}}',
        b'{"kind": "segment", "parameters": {"x": 1e999}}',
    ):
        refused = api.request("POST", "/jobs", content=text, headers={"content-type": "application/json"})
        assert refused.status_code == 400, refused.text
    trained = api.request("POST", "/jobs", json={"kind": "train", "parameters": {}})
    assert (trained.status_code, "SIXPOINT_WORKER_KINDS" in trained.json()["detail"]) == (409, True)
