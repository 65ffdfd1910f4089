"""The chart's Jobs that build TensorRT engines do what those of `exporter tensorrt-job` do."""

from __future__ import annotations

from typing import Any

import yaml
from typer.testing import CliRunner

from exporter.cli import app
from tests.helm.support.charts import CHART, containers, pods, read_values, render
from tests.support.paths import ROOT


def essence(pod: dict[str, Any], container: dict[str, Any]) -> dict[str, Any]:
    """What decides about the engine."""
    places = {(place["mountPath"], place["name"], place.get("readOnly", False)) for place in container["volumeMounts"]}
    return {
        "image": container["image"],
        "runs": [*container["command"], *container["args"]],
        "gpu": container["resources"]["limits"]["nvidia.com/gpu"],
        "node": pod["nodeSelector"]["nvidia.com/gpu.product"],
        "mounts": {place for place in places if place[1] != "tmp"},
        "claims": {
            volume["name"]: volume["persistentVolumeClaim"]["claimName"]
            for volume in pod["volumes"]
            if "persistentVolumeClaim" in volume
        },
    }


def test_the_jobs_are_those_of_the_exporter() -> None:
    options = ["--gpu", "NVIDIA-L4", "--repository", str(ROOT / "model_repository"), "--claim", "demo-sixpoint-models"]
    printed = CliRunner().invoke(app, ["tensorrt-job", "annotation", *options])
    assert printed.exit_code == 0, printed.output
    job = yaml.safe_load(printed.stdout)
    expected = essence(job["spec"]["template"]["spec"], job["spec"]["template"]["spec"]["containers"][0])
    documents = render(read_values(CHART / "ci" / "gpu-values.yaml"))
    made = [pod for pod in pods(documents) if pod.owner["kind"] == "Job"]
    assert [essence(pod.spec, containers(pod)[0]) for pod in made] == [expected]


def test_a_job_that_does_something_else_has_another_name() -> None:
    def name(*arguments: str) -> str:
        values = read_values(CHART / "ci" / "gpu-values.yaml")
        values["triton"]["tensorRt"]["jobs"][0]["args"] += arguments
        jobs = [document for document in render(values) if document["kind"] == "Job"]
        return str(jobs[0]["metadata"]["name"])

    # Kubernetes changes no Job that exists: an upgrade of the release would fail.
    assert name() == name() != name("--best")
