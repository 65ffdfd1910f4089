"""Masks over the API: those of gRPC, to the bit, in every form."""

from __future__ import annotations

import base64
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
import zstandard

import sixpoint
from gateway.server import Gateway
from sixpoint._typing import Array
from sixpoint.prompts import Click, ExtremePoints
from sixpoint.volume import Volume
from tests.gateway.http.rest.api import SIX, Api, click, read_box, six_points
from tests.gateway.http.sites import read_mask

ADDED, TAKEN = (4, 17, 16), (20, 17, 16)
STEPS = [[six_points()], [click(ADDED)], [click(TAKEN, positive=False)]]
BOX = {"accept": "application/vnd.sixpoint.mask"}


def digest(mask: Array) -> str:
    return hashlib.sha256(np.ascontiguousarray(mask, np.uint8).tobytes()).hexdigest()


@pytest.fixture(scope="module")
def of_grpc(http_gateway: Gateway, image: Volume) -> list[str]:
    """SHA-256 of the masks over gRPC."""
    steps = [ExtremePoints(SIX)], [Click(ADDED)], [Click(TAKEN, False)]
    with sixpoint.Client(f"127.0.0.1:{http_gateway.port}") as client, client.open_session(image) as session:
        masks = [digest(session.annotate(*prompts).array) for prompts in steps]
    assert len(set(masks)) == 3
    return masks


def test_prompts_give_the_masks_of_grpc(api: Api, image: Volume, of_grpc: list[str]) -> None:
    segment = f"/sessions/{api.open(image)}/segments/1"
    masks = [
        read_box(api.request("POST", f"{segment}/prompts", json={"prompts": prompts}, headers=BOX), image)
        for prompts in STEPS
    ]
    assert [digest(mask) for mask in masks] == of_grpc
    for change, count in (("undo", 2), ("undo", 1), ("redo", 2), ("reset", 0)):
        mask = read_box(api.request("POST", f"{segment}/{change}", headers=BOX), image)
        assert (digest(mask) == of_grpc[count - 1]) if count else not mask.any()


@pytest.mark.parametrize("form", ["nrrd", "nii.gz", "nii"])
def test_masks_are_saved_as_files(api: Api, image: Volume, of_grpc: list[str], tmp_path: Path, form: str) -> None:
    session = api.open(image)
    for number in (1, 3):
        api.json("POST", f"/sessions/{session}/segments/{number}/prompts", {"prompts": STEPS[0]})
    answer = api.get(f"/sessions/{session}/segments/1/mask?format={form}")
    assert answer.headers["content-disposition"] == f'attachment; filename="mask.{form}"'
    assert digest(read_mask(answer.content, tmp_path / f"mask.{form}", image)) == of_grpc[0]
    for change, labels in (("undo", {0, 1}), ("redo", {0, 3})):
        api.json("POST", f"/sessions/{session}/segments/3/{change}")
        content = api.get(f"/sessions/{session}/mask?format={form}").content
        voxels = read_mask(content, tmp_path / f"{change}.{form}", image)
        assert set(np.unique(voxels)) == labels
        assert digest(voxels > 0) == of_grpc[0]


def test_masks_come_as_json_too(api: Api, image: Volume) -> None:
    segment = f"/sessions/{api.open(image)}/segments/7"
    answer = api.json("POST", f"{segment}/prompts", {"prompts": STEPS[0]})
    assert (answer["segment"], answer["step"], answer["step_count"], answer["model"]) == (7, 1, 1, "annotation")
    packed = api.get(f"{segment}/mask", headers=BOX)
    assert base64.b64decode(answer["mask"]["bits"]) == packed.content
    assert base64.b64decode(answer["mask"]["sha256"]).hex() == packed.headers["sixpoint-sha256"]
    assert packed.headers["etag"] == f'"{answer["revision"]}"'
    assert packed.headers["sixpoint-model"] == "annotation"


def test_only_the_change_travels_to_those_who_have_the_mask(api: Api, image: Volume) -> None:
    segment = f"/sessions/{api.open(image)}/segments/1"
    first = api.json("POST", f"{segment}/prompts", {"prompts": STEPS[0]})
    body = {"prompts": STEPS[1], "base_revision": first["revision"]}
    second = api.json("POST", f"{segment}/prompts", body)
    assert second["mask"]["base_revision"] == first["revision"]
    assert second["mask"]["box"] != first["mask"]["box"]
    problem = api.problem("GET", f"{segment}/mask?format=nii.gz&base_revision={second['revision']}", status=400)
    assert [violation["field"] for violation in problem["violations"]] == ["base_revision"]


def test_a_mask_that_did_not_change_is_not_sent_again(api: Api, image: Volume) -> None:
    segment = f"/sessions/{api.open(image)}/segments/1"
    api.json("POST", f"{segment}/prompts", {"prompts": STEPS[0]})
    tag = api.get(f"{segment}/mask", headers=BOX).headers["etag"]
    again = api.get(f"{segment}/mask", headers={**BOX, "if-none-match": tag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert api.get(f"{segment}/mask", headers={**BOX, "if-none-match": '"0"'}).status_code == 200


def test_other_forms_are_refused_in_words(api: Api, image: Volume) -> None:
    path = f"/sessions/{api.open(image)}/segments/1/mask"
    problem = api.problem("GET", path, status=406, headers={"accept": "image/png, text/html;q=0.5"})
    assert "application/x-nrrd" in problem["detail"]
    assert api.problem("GET", f"{path}?format=png", status=400)["violations"][0]["field"] == "format"
    # The most specific range counts, then its quality.
    for accept, kind in (
        ("*/*;q=0.1, application/x-nrrd", "application/x-nrrd"),
        ("application/*, application/json;q=0", "application/vnd.sixpoint.mask"),
        ("text/html, */*;q=0.8", "application/json"),
    ):
        assert api.get(path, headers={"accept": accept}).headers["content-type"] == kind


def test_a_mask_begins_an_object_and_a_scribble_corrects_it(api: Api, image: Volume) -> None:
    first = api.json("POST", f"/sessions/{api.open(image)}/segments/1/prompts", {"prompts": STEPS[0]})
    session = api.open(image)
    begun = api.json("POST", f"/sessions/{session}/segments/1/prompts", {"prompts": [{"mask": first["mask"]}]})
    assert begun["mask"]["sha256"] == first["mask"]["sha256"]
    runs = zstandard.ZstdCompressor().compress(struct.pack("<4I", 2, 18, 16, 3))
    voxels = {"runs": base64.b64encode(runs).decode(), "voxel_count": 3}
    scribble = {"scribble": {"voxels": voxels, "sign": "CLICK_SIGN_POSITIVE"}}
    answer = api.request("POST", f"/sessions/{session}/segments/1/prompts", json={"prompts": [scribble]}, headers=BOX)
    assert read_box(answer, image)[16, 18, 2:5].all()
