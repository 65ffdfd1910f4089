"""Scribbles as 3D Slicer sends them: all segments in one label map, those of the scribbles among them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest

import sixpoint
from gateway.server import Gateway
from sixpoint._typing import Array
from sixpoint.geometry import Geometry
from sixpoint.prompts import InitialMask, Scribble
from sixpoint.volume import Volume
from tests.gateway.http.monai_label.test_masks import OBLIQUE
from tests.gateway.http.sites import HttpSite, read_mask, split_form

NAMES = ("liver", "spleen", "background_scribbles", "foreground_scribbles")
INFO = [{"name": name, "id": number} for number, name in enumerate(NAMES, start=1)]
MODEL = "annotation_scribbles"


@pytest.fixture
def site(http_gateway: Gateway) -> HttpSite:
    return HttpSite.of(http_gateway)


@pytest.fixture
def session(site: HttpSite, tmp_path: Path) -> str:
    OBLIQUE.write(tmp_path / "image.nrrd")
    return site.open_session(tmp_path / "image.nrrd")


def label_map(**parts: tuple[slice, slice, slice]) -> Array:
    labels = np.zeros(OBLIQUE.array.shape, np.uint8)
    for name, box in parts.items():
        labels[box] = NAMES.index(name) + 1
    return labels


FEWER = replace(OBLIQUE.geometry, size=(40, 36, 31))
OBJECT = (slice(10, 22), slice(8, 28), slice(10, 30))
INSIDE = (slice(14, 15), slice(14, 18), slice(30, 36))
OUTSIDE = (slice(12, 13), slice(10, 12), slice(12, 20))


def send(
    site: HttpSite,
    session: str,
    labels: Array,
    folder: Path,
    params: Mapping[str, object] = {},
    *,
    model: str = MODEL,
    geometry: Geometry = OBLIQUE.geometry,
) -> httpx.Response:
    """Update by scribbles as 3D Slicer does."""
    Volume(labels, geometry).write(folder / "label.nrrd")
    given = {"label_info": INFO, "selected_label_name": "liver", "roi": [], "result_extension": ".nrrd"} | dict(params)
    files = {
        "params": (None, json.dumps(given)),
        "label": ("label.nrrd", (folder / "label.nrrd").read_bytes()),
    }
    return site.request("POST", f"/infer/{model}?image=&session_id={session}", files=files)


def test_clients_are_offered_a_model_for_scribbles(site: HttpSite) -> None:
    models = site.get("/info/").json()["models"]
    assert models[MODEL]["type"] == "scribbles"
    assert models["annotation"]["type"] == "deepgrow"


def test_an_object_is_corrected_by_scribbles(site: HttpSite, session: str, tmp_path: Path) -> None:
    labels = label_map(liver=OBJECT, foreground_scribbles=INSIDE, background_scribbles=OUTSIDE)
    params, content = split_form(send(site, session, labels, tmp_path))
    assert params["label_names"] == {"liver": 1}
    mask = read_mask(content, tmp_path / "mask.nrrd", OBLIQUE)
    assert mask[INSIDE].all()
    assert not mask[OUTSIDE].any()
    assert mask[OBJECT].mean() > 0.5


def test_masks_are_those_of_grpc(http_gateway: Gateway, site: HttpSite, session: str, tmp_path: Path) -> None:
    labels = label_map(liver=OBJECT, foreground_scribbles=INSIDE, background_scribbles=OUTSIDE)
    answer = send(site, session, labels, tmp_path)
    mask = read_mask(split_form(answer)[1], tmp_path / "mask.nrrd", OBLIQUE)
    scribbles = Scribble(labels == NAMES.index("foreground_scribbles") + 1), Scribble(labels == 3, False)
    with (
        sixpoint.Client(f"127.0.0.1:{http_gateway.port}") as client,
        client.open_session(OBLIQUE) as ours,
    ):
        # The background is drawn on the object, which goes on below it.
        expected = ours.annotate(InitialMask.of(label_map(liver=OBJECT)), *scribbles).array
    assert np.array_equal(mask, expected)
    # OHIF sends bare voxels.
    params = {"label_info": INFO, "selected_label_name": "liver", "result_extension": ".nrrd"}
    for voxels in (labels, labels.astype("<u2")):
        files = {"params": (None, json.dumps(params)), "label": ("label.bin", voxels.tobytes())}
        bare = site.request("POST", f"/infer/{MODEL}?session_id={session}", files=files)
        assert split_form(bare)[1] == split_form(answer)[1]
    files["label"] = ("label.bin", labels.tobytes()[1:])
    refused = site.request("POST", f"/infer/{MODEL}?session_id={session}", files=files)
    assert (refused.status_code, "one or two bytes" in refused.text) == (400, True)


def test_the_network_sees_no_hole_under_scribbles(
    http_gateway: Gateway, site: HttpSite, session: str, tmp_path: Path
) -> None:
    # One within the object, one over its border, one that wipes a part of it out, all as wide as brushes are.
    within, across, wiped = (
        (slice(14, 18), slice(14, 18), slice(14, 19)),
        (slice(12, 14), slice(18, 20), slice(24, 36)),
        (slice(18, 21), slice(10, 13), slice(12, 18)),
    )
    labels = label_map(liver=OBJECT, foreground_scribbles=within, background_scribbles=wiped)
    labels[across] = NAMES.index("foreground_scribbles") + 1
    mask = read_mask(split_form(send(site, session, labels, tmp_path))[1], tmp_path / "mask.nrrd", OBLIQUE)
    shown = label_map(liver=OBJECT) == 1
    scribbles = Scribble(labels == 4), Scribble(labels == 3, False)
    with sixpoint.Client(f"127.0.0.1:{http_gateway.port}") as client, client.open_session(OBLIQUE) as ours:
        expected = ours.annotate(InitialMask.of(shown), *scribbles).array
        ours.reset()
        with_hole = ours.annotate(InitialMask.of(labels == 1), *scribbles).array
    assert np.array_equal(mask, expected)
    assert not np.array_equal(mask, with_hole)


@pytest.mark.parametrize("roi", [[], [4, 45, -3, 34, 3, 29]])
def test_scribbles_begin_an_object(site: HttpSite, session: str, tmp_path: Path, roi: list[int]) -> None:
    labels = label_map(foreground_scribbles=INSIDE, background_scribbles=OUTSIDE)
    _, content = split_form(send(site, session, labels, tmp_path, {"roi": roi}))
    mask = read_mask(content, tmp_path / "mask.nrrd", OBLIQUE)
    assert mask[INSIDE].all()
    assert not mask[OUTSIDE].any()
    assert mask.sum() > labels.astype(bool).sum()
    # The same again: nothing has changed.
    assert split_form(send(site, session, labels, tmp_path, {"roi": roi}))[1] == content


@pytest.mark.parametrize(
    ("parts", "params", "words"),
    [
        ({"liver": OBJECT}, {}, "no scribbles"),
        ({"background_scribbles": OUTSIDE}, {}, "draw on the object"),
        ({"foreground_scribbles": INSIDE}, {"selected_label_name": ""}, "names no object"),
        ({"foreground_scribbles": INSIDE}, {"selected_label_name": "foreground_scribbles"}, "names no object"),
        ({"foreground_scribbles": INSIDE}, {"label_info": []}, "label_info"),
        ({"foreground_scribbles": INSIDE}, {"label_info": [{"name": "liver"}]}, "label_info"),
        ({"foreground_scribbles": INSIDE}, {"roi": [5, 5, 5, 5, 5, 5]}, "flat"),
    ],
)
def test_what_is_no_drawing_is_refused(
    site: HttpSite,
    session: str,
    tmp_path: Path,
    parts: dict[str, tuple[slice, slice, slice]],
    params: object,
    words: str,
) -> None:
    answer = send(site, session, label_map(**parts), tmp_path, params)  # type: ignore[arg-type]
    assert (answer.status_code, words in answer.text) == (400, True), answer.text


def test_a_label_map_of_another_image_is_refused(site: HttpSite, session: str, tmp_path: Path) -> None:
    answer = send(site, session, label_map(foreground_scribbles=INSIDE)[1:], tmp_path, geometry=FEWER)
    assert (answer.status_code, "label map" in answer.text) == (400, True), answer.text
    answer = send(site, session, label_map(foreground_scribbles=INSIDE), tmp_path, model="other_scribbles")
    assert answer.status_code == 404
