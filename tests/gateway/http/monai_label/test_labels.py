"""Labels that people submit in a viewer: stored in a dataset, given back, and what is next."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import SimpleITK as sitk

import sixpoint
from gateway.server import Gateway
from gateway.triton.local.server import LocalTriton
from sixpoint._typing import Array
from sixpoint.volume import Volume
from tests.gateway.http.monai_label.test_masks import OBLIQUE
from tests.gateway.http.sites import HttpSite, read_mask
from tests.support.images import noisy_volume
from tests.support.servers import running_gateway

INFO = [{"name": "liver", "idx": 3}, {"name": "spleen", "idx": 7}, {"name": "kidney", "idx": 9}]
SMALL = noisy_volume((12, 10, 9))


@pytest.fixture(scope="module")
def gateway(triton: LocalTriton) -> Iterator[Gateway]:
    with running_gateway(triton_url=triton.address, http_port=0, viewer_dataset="abdomen") as gateway:
        with sixpoint.Client(f"127.0.0.1:{gateway.port}") as client:
            client.datasets.create("abdomen", labels=["spleen", "liver"])
        yield gateway


@pytest.fixture
def viewer(gateway: Gateway) -> HttpSite:
    return HttpSite.of(gateway)


@pytest.fixture
def client(gateway: Gateway) -> Iterator[sixpoint.Client]:
    with sixpoint.Client(f"127.0.0.1:{gateway.port}") as client:
        yield client


def _send(viewer: HttpSite, volume: Volume, folder: Path, name: str) -> str:
    volume.write(folder / "image.nrrd")
    files = {"file": ("image.nrrd", (folder / "image.nrrd").read_bytes())}
    answer = viewer.request("PUT", f"/datastore/?image={name}", files=files)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["image"])


def _submit(
    viewer: HttpSite, image: str, labels: Array, like: Volume, folder: Path, info: object = INFO
) -> httpx.Response:
    """Submit a label map as 3D Slicer does."""
    Volume(labels, like.geometry).write(folder / "label.nrrd")
    files = {
        "label": ("label.nrrd", (folder / "label.nrrd").read_bytes()),
        "params": (None, json.dumps({"label_info": info, "model": "annotation"})),
    }
    return viewer.request("PUT", f"/datastore/label?image={image}", files=files)


def _label_map(volume: Volume) -> Array:
    labels = np.zeros(volume.array.shape, np.uint8)
    labels[2:5, 3:7, 4:9] = 3
    labels[5:7, 3:7, 4:9] = 7
    return labels


def test_a_label_map_becomes_an_annotation_and_comes_back(
    viewer: HttpSite, client: sixpoint.Client, tmp_path: Path
) -> None:
    digest = _send(viewer, OBLIQUE, tmp_path, "mustermann")
    labels = _label_map(OBLIQUE)
    saved = _submit(viewer, "mustermann", labels, OBLIQUE, tmp_path)
    assert (saved.status_code, saved.json()["version"]) == (200, 1)
    (info,) = client.datasets.annotations("abdomen", digest=digest)
    # Nobody said that the image has no kidney.
    assert dict(info.voxel_counts) == {"spleen": (labels == 7).sum(), "liver": (labels == 3).sum()}
    assert info.state == "submitted"
    assert "mustermann" not in repr(client.datasets.images("abdomen"))
    masks = client.datasets.masks(info.id)
    assert np.array_equal(masks.mask("liver").array, labels == 3)
    back = viewer.get(f"/datastore/label?label={digest}&tag=final")
    assert back.status_code == 200
    expected = np.select([labels == 7, labels == 3], [1, 2], 0)
    assert np.array_equal(read_mask(back.content, tmp_path / "back.nrrd", OBLIQUE), expected)
    listed = viewer.get("/datastore/?output=all").json()["objects"]
    final = listed[digest]["labels"]["final"]
    assert final["ext"] == ".nrrd"
    assert final["info"]["label_info"] == [{"name": "spleen", "idx": 1}, {"name": "liver", "idx": 2}]
    assert viewer.get("/datastore/").json()["label_tags"]["final"] >= 1
    for method, name in (("GET", "label"), ("HEAD", "image")):
        for tag, code in (("final", 200), ("original", 404), ("../x", 404)):
            assert viewer.request(method, f"/datastore/label?{name}={digest}&tag={tag}").status_code == code


@pytest.mark.parametrize("route", ["updatelabelinfo", "label/info"])
def test_a_reviewer_approves_and_flags(viewer: HttpSite, client: sixpoint.Client, tmp_path: Path, route: str) -> None:
    volume = Volume(SMALL.array + np.int16(5 if route == "label/info" else 6), SMALL.geometry)
    digest = _send(viewer, volume, tmp_path, "reviewed")
    assert _submit(viewer, digest, _label_map(volume), volume, tmp_path).status_code == 200
    field = "info" if route == "label/info" else "params"

    def review(packed: object, form: str = "data") -> httpx.Response:
        # 3D Slicer's reviewers pack it in the address's way, other clients as a form.
        content = {"data": {field: json.dumps(packed)}} if form == "data" else {"files": {field: (None, "[")}}
        return viewer.request("PUT", f"/datastore/{route}?label={digest}&tag=final", **content)

    for status, state, comment in (("flagged", "rejected", ""), ("approved", "accepted", "good")):
        meta = {"status": status, "approvedBy": "x", "level": "easy", "comment": comment, "editTime": 0}
        answer = review({"segmentationMeta": meta})
        assert (answer.status_code, answer.json()) == (200, None)
        assert client.datasets.annotations("abdomen", digest=digest)[0].state == state
        info = viewer.get(f"/datastore/label/info?label={digest}&tag=final").json()
        assert info["segmentationMeta"]["status"] == status
        assert info["segmentationMeta"]["comment"] == (comment or "flagged in a viewer")
    wrongs: list[Any] = [{}, {"segmentationMeta": {"status": ""}}, {"segmentationMeta": [1]}, {"label_info": []}, [1]]
    for wrong in wrongs:
        answer = review(wrong)
        assert (answer.status_code, "review" in answer.text or "expected" in answer.text) == (400, True), answer.text
    assert review({}, "form").status_code == 400
    assert viewer.get(f"/datastore/label/info?label={digest}&tag=x").status_code == 404


def test_a_label_map_with_other_axes_is_the_same(viewer: HttpSite, client: sixpoint.Client, tmp_path: Path) -> None:
    digest = _send(viewer, SMALL, tmp_path, "small")
    labels = _label_map(SMALL)
    image = sitk.GetImageFromArray(labels)
    image.SetSpacing(SMALL.geometry.spacing)
    image.SetOrigin(SMALL.geometry.origin)
    image.SetDirection(SMALL.geometry.direction)
    sitk.WriteImage(sitk.Flip(sitk.PermuteAxes(image, [2, 0, 1]), [True, False, True]), tmp_path / "label.nii.gz")
    files = {
        "label": ("label.nii.gz", (tmp_path / "label.nii.gz").read_bytes()),
        "params": (None, json.dumps({"label_info": INFO})),
    }
    assert viewer.request("PUT", f"/datastore/label?image={digest}", files=files).status_code == 200
    masks = client.datasets.masks(client.datasets.annotations("abdomen", digest=digest)[0].id)
    assert np.array_equal(masks.mask("spleen").array, labels == 7)


def test_the_next_image_is_one_that_nobody_annotated(viewer: HttpSite, client: sixpoint.Client, tmp_path: Path) -> None:
    volume = Volume(SMALL.array + np.int16(1), SMALL.geometry)
    digest = _send(viewer, volume, tmp_path, "next")

    def waiting() -> set[str]:
        return {str(viewer.request("POST", f"/activelearning/{each}", json={}).json().get("id")) for each in STRATEGIES}

    before = viewer.get("/info/").json()["datastore"]
    assert digest in {image.digest for image in client.datasets.images("abdomen") if not image.state}
    assert _submit(viewer, digest, _label_map(volume), volume, tmp_path).status_code == 200
    after = viewer.get("/info/").json()
    assert after["datastore"]["completed"] == before["completed"] + 1
    assert after["labels"][:2] == ["spleen", "liver"]
    assert digest not in waiting()
    client.datasets.review(client.datasets.annotations("abdomen", digest=digest)[0].id, "rejected", reason="again")
    assert digest in waiting()
    with sixpoint.Client(client.target, owner="somebody else") as other:
        assert digest not in {getattr(other.datasets.next_image("abdomen"), "digest", "")}


STRATEGIES = ("first", "random", "label", "uncertain", "disagreement", "different")


def test_bare_voxels_are_a_label_map(viewer: HttpSite, client: sixpoint.Client, tmp_path: Path) -> None:
    # As OHIF's client for MONAI Label sends them.
    volume = Volume(SMALL.array + np.int16(3), SMALL.geometry)
    digest = _send(viewer, volume, tmp_path, "bare")
    labels = _label_map(volume)
    files = {"label": ("label.bin", labels.tobytes()), "params": (None, json.dumps({"label_info": INFO}))}
    assert viewer.request("PUT", f"/datastore/label?image={digest}", files=files).status_code == 200
    masks = client.datasets.masks(client.datasets.annotations("abdomen", digest=digest)[0].id)
    assert np.array_equal(masks.mask("liver").array, labels == 3)
    files["label"] = ("label.bin", labels.tobytes()[1:])
    refused = viewer.request("PUT", f"/datastore/label?image={digest}", files=files)
    assert (refused.status_code, "one or two bytes" in refused.text) == (400, True)


@pytest.mark.parametrize(
    ("change", "info", "words"),
    [
        ({"labels": 5}, INFO, "has the number 5"),
        ({}, [{"name": "lung", "idx": 3}, {"name": "liver", "idx": 7}], "no label 'lung'"),
        ({}, [{"name": "liver", "idx": 3}, {"name": "liver", "idx": 7}], "several numbers"),
        ({}, [{"name": "liver", "idx": 3}, {"name": "spleen", "idx": 3}], "twice"),
        ({}, [{"name": "liver"}], "label_info"),
        ({}, {"liver": 3}, "label_info"),
        ({"labels": 0}, INFO, "no mask to save"),
        ({"grid": True}, INFO, "another grid"),
    ],
)
def test_labels_that_cannot_be_stored_are_refused_in_words(
    viewer: HttpSite, tmp_path: Path, change: dict[str, int], info: object, words: str
) -> None:
    digest = _send(viewer, SMALL, tmp_path, "small")
    labels, like = _label_map(SMALL), SMALL
    if "labels" in change:
        labels = np.where(labels > 0, np.uint8(change["labels"]), np.uint8(0))
    if "grid" in change:
        like = noisy_volume((12, 10, 9), spacing=2.0)
    refused = _submit(viewer, digest, labels, like, tmp_path, info)
    assert refused.status_code in (400, 409), refused.text
    assert words in refused.json()["detail"]


def test_what_is_not_there_is_said(viewer: HttpSite, site: HttpSite, tmp_path: Path) -> None:
    assert viewer.get(f"/datastore/label?label={'0' * 64}&tag=final").status_code == 404
    volume = Volume(SMALL.array + np.int16(2), SMALL.geometry)
    digest = _send(viewer, volume, tmp_path, "unsaved")
    assert "nobody has saved" in viewer.get(f"/datastore/label?label={digest}&tag=final").json()["detail"]
    assert viewer.request("PUT", f"/datastore/label?image={digest}").status_code == 400
    # A gateway without a dataset for viewers.
    for method in ("PUT", "GET"):
        refused = site.request(method, f"/datastore/label?image={digest}&label={digest}&tag=final")
        assert (refused.status_code, "SIXPOINT_VIEWER_DATASET" in refused.json()["detail"]) == (409, True)


def test_a_label_map_beyond_the_memory_is_refused(triton: LocalTriton, tmp_path: Path) -> None:
    with running_gateway(
        triton_url=triton.address, http_port=0, viewer_dataset="abdomen", prompt_memory_bytes=2**20
    ) as gateway:
        with sixpoint.Client(f"127.0.0.1:{gateway.port}") as client:
            client.datasets.create("abdomen", labels=["spleen", "liver"])
        viewer, large = HttpSite.of(gateway), noisy_volume((80, 80, 80))
        image = _send(viewer, large, tmp_path, "large")
        answer = _submit(viewer, image, np.ones(large.array.shape, np.uint8), large, tmp_path)
        assert (answer.status_code, "SIXPOINT_PROMPT_MEMORY_BYTES" in answer.text) == (429, True), answer.text


def test_labels_are_saved_with_tags_that_mean_something(
    viewer: HttpSite, client: sixpoint.Client, tmp_path: Path
) -> None:
    volume = Volume(SMALL.array + np.int16(9), SMALL.geometry)
    digest = _send(viewer, volume, tmp_path, "tagged")
    labels = _label_map(volume)

    def submit(tag: str, number: int) -> httpx.Response:
        changed = labels.copy()
        changed[0, 0, :number] = 3
        return _submit(viewer, f"{digest}&tag={tag}", changed, volume, tmp_path)

    # As 3D Slicer's reviewers number versions: after the last one that is listed.
    for number, tag in enumerate(("", "final", "version_3"), start=1):
        saved = submit(tag, number)
        assert (saved.status_code, saved.json().get("version")) == (200, number), saved.text
    for tag, words in (
        ("original", "what a model made"),
        ("version_2", "saved already"),
        ("version_7", "the next version of this label is version_4"),
        ("version_0", "final"),
        ("mine", "final (what people saved)"),
        ("../../../../tmp/x", "final (what people saved)"),
        ("/etc/passwd", "final (what people saved)"),
    ):
        refused = submit(tag, 5)
        assert (refused.status_code, words in refused.json()["detail"]) == (400, True), (tag, refused.text)
    assert len(client.datasets.annotations("abdomen", digest=digest)) == 3
    listed = viewer.get("/datastore/?output=all").json()["objects"][digest]["labels"]
    assert list(listed) == ["final", "version_1", "version_2", "version_3"]
    assert listed["final"] == listed["version_3"]
    for number in (1, 3):
        back = viewer.get(f"/datastore/label?label={digest}&tag=version_{number}")
        assert (read_mask(back.content, tmp_path / "back.nrrd", volume)[0] > 0).sum() == number
        assert viewer.get(f"/datastore/label/info?label={digest}&tag=version_{number}").status_code == 200
    missing = viewer.get(f"/datastore/label?label={digest}&tag=version_4")
    assert (missing.status_code, "no such version" in missing.json()["detail"]) == (404, True)
    review = {"params": json.dumps({"segmentationMeta": {"status": "flagged", "comment": "x"}})}
    place = f"/datastore/updatelabelinfo?label={digest}&tag=version_2"
    assert viewer.request("PUT", place, data=review).status_code == 200
    states = {info.version: info.state for info in client.datasets.annotations("abdomen", digest=digest)}
    assert states == {1: "submitted", 2: "rejected", 3: "submitted"}
