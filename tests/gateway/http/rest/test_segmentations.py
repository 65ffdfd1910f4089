"""Segmentations over the API: events while they run, files at their end."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sixpoint
from gateway.server import Gateway
from sixpoint._typing import Array
from sixpoint.mask import PackedMask, unpack
from sixpoint.volume import Volume
from tests.gateway.http.rest.api import Api
from tests.gateway.http.sites import read_mask

MODEL = "segmentation_hippocampus"


@pytest.fixture(scope="module")
def of_grpc(http_gateway: Gateway, image: Volume) -> Array:
    """Labels over gRPC."""
    with sixpoint.Client(f"127.0.0.1:{http_gateway.port}") as client:
        return client.segment(image, model=MODEL).labels


def body(image: Volume, **more: object) -> dict[str, Any]:
    return {"image_digest": image.digest, "model": MODEL, **more}


def events(text: str) -> Iterator[tuple[str, Any]]:
    """Events of a stream, read as browsers read them."""
    for part in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in part.splitlines())
        if "event" in lines:
            yield lines["event"], json.loads(lines["data"])


def test_a_segmentation_reports_events(api: Api, image: Volume, of_grpc: Array) -> None:
    answer = api.request("POST", "/segmentations", json=body(image))
    assert answer.headers["content-type"].partition(";")[0] == "text/event-stream"
    seen = list(events(answer.text))
    kinds = [kind for kind, _ in seen]
    assert (kinds[0], kinds[-1], set(kinds)) == ("progress", "summary", {"progress", "label", "summary"})
    assert seen[-1][1]["model"] == MODEL
    for label in (content for kind, content in seen if kind == "label"):
        packed = label["mask"]
        mask = PackedMask(
            lower=tuple(packed["box"]["lower"]),
            upper=tuple(packed["box"]["upper"]),
            bits=base64.b64decode(packed["bits"]),
            sha256=base64.b64decode(packed["sha256"]),
            voxel_count=packed["voxel_count"],
        )
        assert np.array_equal(unpack(mask, image.geometry.size), of_grpc == label["number"])
        assert ("extreme_points" in label) == bool(packed["voxel_count"])


def test_a_segmentation_is_saved_as_a_file(api: Api, image: Volume, of_grpc: Array, tmp_path: Path) -> None:
    answer = api.request("POST", "/segmentations?format=nii.gz", json=body(image))
    assert np.array_equal(read_mask(answer.content, tmp_path / "labels.nii.gz", image), of_grpc)


@pytest.mark.parametrize("form", ["events", "nrrd"])
def test_what_cannot_be_segmented_is_refused_before_the_answer_begins(api: Api, image: Volume, form: str) -> None:
    path = f"/segmentations?format={form}"
    assert api.problem("POST", path, body(image, model="none"), status=404)["reason"] == "MODEL_NOT_FOUND"
    assert api.problem("POST", path, body(image, model="annotation"), status=409)["reason"] == "TASK_NOT_SUPPORTED"
    assert api.problem("POST", path, body(image, image_digest="0"), status=404)["reason"] == "IMAGE_NOT_FOUND"
    assert api.problem("POST", path, body(image, labels=["none"]), status=400)["detail"]
