"""Datasets over the API: made, grown, annotated, reviewed, and their masks read back."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.http.rest import examples
from sixpoint._typing import Array
from sixpoint.volume import Volume
from tests.gateway.http.rest.api import Api, read_box, six_points
from tests.gateway.http.sites import read_mask

ADA: dict[str, Any] = {"headers": {"sixpoint-owner": "ada"}}
BOB: dict[str, Any] = {"headers": {"sixpoint-owner": "bob"}}


@pytest.fixture
def dataset(api: Api, image: Volume) -> str:
    """A dataset with one image, and the path to it."""
    name = f"livers {secrets.token_hex(4)}"
    made = api.json("POST", "/datasets", {**examples.DATASET, "name": name}, status=201)
    assert (made["name"], [label["name"] for label in made["labels"]]) == (name, ["liver"])
    path = f"/datasets/{name}"
    assert len(api.json("POST", f"{path}/labels", examples.DATASET_LABELS)["labels"]) == 2
    added = api.json("POST", f"{path}/images", {"images": [{"image_digest": image.digest, "patient": "p1"}]})
    assert added["images"][0]["image_digest"] == image.digest
    return path


def test_an_image_goes_round(api: Api, image: Volume, dataset: str, tmp_path: Path) -> None:
    following = api.json("POST", f"{dataset}/next", examples.NEXT_IMAGE, **ADA)
    assert following["image"]["image_digest"] == image.digest
    # Ada has it.
    assert "image" not in api.json("POST", f"{dataset}/next", {}, **BOB)
    session = api.open(image)
    segment = f"/sessions/{session}/segments/1"
    drawn = read_box(api.request("POST", f"{segment}/prompts?format=box", json={"prompts": [six_points()]}), image)
    api.json("PATCH", f"/sessions/{session}", {"segments": [{"number": 1, "name": "spleen"}]})
    answer = api.request("POST", f"{dataset}/annotations", json={"session_id": session, "absent_labels": ["liver"]})
    saved = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (201, f"../../annotations/{saved['id']}")
    assert {label["name"]: label["voxel_count"] for label in saved["labels"]} == {"liver": 0, "spleen": drawn.sum()}
    path = f"/annotations/{saved['id']}"
    assert api.json("GET", path) == saved
    masks = api.json("GET", f"{path}/mask")["labels"]
    assert {each["name"]: each["mask"]["voxel_count"] for each in masks} == {"liver": 0, "spleen": drawn.sum()}
    file = api.get(f"{path}/mask?format=nii.gz")
    # The dataset's number, not the segment's.
    assert np.array_equal(read_mask(file.content, tmp_path / "mask.nii.gz", image), 2 * drawn.astype(np.uint8))
    again = api.json("POST", f"{dataset}/images/{image.digest}/annotations", {"labels": masks}, status=201)
    assert (again["version"], again["digest"]) == (2, saved["digest"])
    assert api.json("POST", f"{path}/review", examples.REVIEW)["state"] == "ANNOTATION_STATE_REJECTED"
    listed = api.json("GET", f"{dataset}/annotations?state=ANNOTATION_STATE_REJECTED")["annotations"]
    assert [each["id"] for each in listed] == [saved["id"]]
    assert "id" not in api.json("GET", f"{dataset}/images")["images"][0]
    assert dataset.removeprefix("/datasets/") in {each["name"] for each in api.json("GET", "/datasets")["datasets"]}
    assert api.json("GET", dataset)["image_count"] == 1


@pytest.mark.parametrize("suffix", ["nii.gz", "nrrd"])
def test_label_maps_come_as_files(api: Api, image: Volume, dataset: str, tmp_path: Path, suffix: str) -> None:
    labels = np.zeros(image.array.shape, np.uint8)
    labels[4:9, 5:11, 6:12], labels[2, 2, 2] = 2, 1
    path = f"{dataset}/images/{image.digest}/mask?format={suffix}"
    saved = api.json(
        "POST", f"{path}&state=ANNOTATION_STATE_DRAFT", content=written(labels, image, tmp_path, suffix), status=201
    )
    assert {label["name"]: label["voxel_count"] for label in saved["labels"]} == {"liver": 1, "spleen": 5 * 6 * 6}
    assert saved["state"] == "ANNOTATION_STATE_DRAFT"
    file = api.get(f"/annotations/{saved['id']}/mask?format={suffix}")
    assert np.array_equal(read_mask(file.content, tmp_path / f"back.{suffix}", image), labels)


def test_what_fits_no_dataset_is_refused(api: Api, image: Volume, dataset: str, tmp_path: Path) -> None:
    wrong = np.full(image.array.shape, 9, np.uint8)
    content = written(wrong, image, tmp_path, "nrrd")
    path = f"{dataset}/images/{image.digest}/mask"
    assert "number 9" in api.problem("POST", f"{path}?format=nrrd", content=content, status=400)["detail"]
    assert api.problem("POST", f"{path}?format=nrrd", content=b"x", status=400)["detail"]
    for query in ("", "?format=jpg", "?format=nrrd&state=DONE", "?format=nrrd&frob=1", "?format=nrrd&state=x&state=y"):
        assert api.problem("POST", f"{path}{query}", content=content, status=400)["violations"]
    other = f"/datasets/none/images/{image.digest}/mask?format=nrrd"
    assert api.problem("POST", other, content=content, status=404)["reason"] == "DATASET_NOT_FOUND"
    assert api.problem("GET", "/annotations/none/mask", status=404)["reason"] == "ANNOTATION_NOT_FOUND"
    assert api.problem("GET", "/annotations/none", status=404)["reason"] == "ANNOTATION_NOT_FOUND"
    assert api.problem("POST", "/annotations/none/review", {}, status=400)["violations"][0]["field"] == "state"
    assert api.problem("POST", f"{dataset}/annotations", {"session_id": "none"}, status=404)["detail"]
    assert api.problem("POST", f"{dataset}/images/{'0' * 64}/skip", {"reason": "x"}, status=400)["violations"]


def test_an_image_is_given_back(api: Api, image: Volume, dataset: str) -> None:
    assert api.json("POST", f"{dataset}/next", {}, **ADA)["image"]["image_digest"] == image.digest
    assert api.json("POST", f"{dataset}/images/{image.digest}/skip", examples.SKIP, status=204, **ADA) is None
    assert "image" not in api.json("POST", f"{dataset}/next", {}, **ADA)
    assert api.json("POST", f"{dataset}/next", {}, **BOB)["image"]["image_digest"] == image.digest


def written(labels: Array, image: Volume, folder: Path, suffix: str) -> bytes:
    """A label map as a file."""
    path = folder / f"labels.{suffix}"
    Volume(labels, image.geometry).write(path)
    return path.read_bytes()
