"""Masks as polygons, and polygons as masks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from gateway.http.polygons.filling import fill
from gateway.http.polygons.trace_polygons import to_polygon
from sixpoint.geometry import Geometry
from sixpoint.volume import Volume
from tests.gateway.http.aiaa.clients import AiaaSite
from tests.gateway.http.polygons.pictures import CONTOURS, picture
from tests.gateway.http.sites import read_mask


@pytest.fixture(scope="module")
def mask_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The picture on slice 2 of 4, x along its rows."""
    voxels = np.zeros((4, *picture().T.shape), np.uint8)
    voxels[2] = picture().T
    x, y = picture().shape
    file = tmp_path_factory.mktemp("mask") / "mask.nii.gz"
    Volume(voxels, Geometry(size=(x, y, 4), spacing=(1, 2, 3))).write(file)
    return file


@pytest.mark.parametrize("client", ["python", "cpp"])
def test_mask2polygon(aiaa: AiaaSite, mask_file: Path, client: str) -> None:
    for skipped in (0, 10):
        answer = getattr(aiaa, client)("POST", "/v1/mask2polygon", params={"more_points": skipped}, image=mask_file)
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
        assert int(answer.headers["content-length"]) == len(answer.body)
        expected = [[list(point) for point in to_polygon(contour, skipped)] for contour in CONTOURS]
        assert json.loads(answer.body) == [[], [], expected, []]


SQUARE = [[2, 1], [6, 1], [10, 1], [10, 5], [10, 9], [6, 9], [2, 9], [2, 5]]


def test_fixpolygon_on_a_slice(aiaa: AiaaSite, tmp_path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((12, 16), np.uint8)), str(tmp_path / "slice.png"))
    params: dict[str, Any] = {"poly": [SQUARE], "vertex_offset": [4, 2], "dimension": 2}
    params |= {"polygon_index": 0, "vertex_index": 3, "propagate_neighbor": 1}
    moved = [*SQUARE[:2], [12, 2], [14, 7], [12, 10], *SQUARE[5:]]
    older = {
        "propagate_neighbor": 1,
        "polygonIndex": 0,
        "vertexIndex": 3,
        "prev_poly": [SQUARE],
        "poly": [[*SQUARE[:3], [14, 7], *SQUARE[4:]]],
    }
    for sent in (params, older):
        content, file = aiaa.python("POST", "/v1/fixpolygon", params=sent, image=tmp_path / "slice.png").parts()
        assert content == {"poly": [moved]}
        (tmp_path / "mask.png").write_bytes(file)
        mask = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "mask.png")))
        # [x, y] as they are sent; values that MITK pastes into its labels.
        assert (mask.shape, mask.dtype.name, mask.max()) == ((12, 16), "uint8", 1)
        assert all(mask[y, x] == 1 for x, y in moved)
        assert np.array_equal(mask, fill([[[y, x] for x, y in moved]], shape=(12, 16)))
        assert (mask[7, 14], mask[7, 15], mask[5, 6], mask[0].any()) == (1, 0, 1, False)


def test_fixpolygon_in_a_volume(aiaa: AiaaSite, mask_file: Path, tmp_path: Path) -> None:
    square = [[1, 1], [4, 1], [8, 1], [8, 4], [8, 7], [4, 7], [1, 7], [1, 4]]
    params = {
        "poly": [[square], [[[0, 0]], square], [square], []],
        "vertex_offset": [-4, 0],
        "dimension": 3,
        "slice_index": 2,
        "polygon_index": 0,
        "vertex_index": 3,
        "propagate_neighbor": 0,
        "propagate_neighbor_3d": 1,
    }
    content, file = aiaa.cpp("POST", "/v1/fixpolygon", params=params, image=mask_file).parts()
    pulled, half = ([*square[:3], [8 - by, 4], *square[4:]] for by in (4, 2))
    # The slice beside follows by half, at the nearest vertex of its polygons; the next one is out of reach.
    assert content == {"poly": [[square], [[[0, 0]], half], [pulled], []]}
    mask = read_mask(file, tmp_path / "mask.nii.gz", Volume.read(mask_file))
    # [y, x] in volumes.
    assert mask[2, 4, 4] == 1
    assert mask.shape == (4, 10, 9)
    assert [mask[k, 8, 4] for k in range(4)] == [1, 0, 0, 0]
    assert (mask[1, 0, 0], mask[3].any()) == (1, False)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"poly": "x"}, "nested lists"),
        ({"poly": [[[1, 2, 3]]]}, "something else than two numbers"),
        ({"poly": [[["a", 2]]]}, "expected a whole number"),
        ({"poly": [[[1e300, 2]]]}, "expected a whole number"),
        ({"poly": None}, "nested lists"),
        ({"polygon_index": 1}, "polygon_index is 1; there are 1"),
        ({"vertex_index": -1}, "vertex_index is -1; there are 8"),
        ({"vertex_index": None}, "expected a whole number"),
        ({"vertex_offset": 3}, "something else than two numbers"),
        ({"propagate_neighbor": -1}, "expected 0 to"),
        ({"dimension": 3}, "does not fit the image"),
        ({"poly": [SQUARE, [[0, 0], [15, 11]] * 9000]}, ""),
        ({"prev_poly": [], "polygonIndex": 0, "vertexIndex": 0}, "no vertex of these numbers"),
        ({"prev_poly": {}, "polygonIndex": {}, "vertexIndex": 0}, "no vertex of these numbers"),
    ],
)
def test_wrong_polygons(aiaa: AiaaSite, tmp_path: Path, changes: dict[str, object], words: str) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((12, 16), np.uint8)), str(tmp_path / "slice.png"))
    params = {"poly": [SQUARE], "vertex_offset": [4, 2], "polygon_index": 0, "vertex_index": 3, **changes}
    answer = aiaa.python("POST", "/v1/fixpolygon", params=params, image=tmp_path / "slice.png")
    if words:
        assert (answer.status, words in answer.message) == (400, True), answer.body
    else:
        assert answer.status == 200


def test_edges_that_are_too_long(aiaa: AiaaSite, tmp_path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((10, 4000), np.uint8)), str(tmp_path / "slice.png"))
    params = {"poly": [[[0, 0], [3999, 0]] * 5000], "vertex_offset": [0, 0], "polygon_index": 0, "vertex_index": 0}
    answer = aiaa.python("POST", "/v1/fixpolygon", params=params, image=tmp_path / "slice.png")
    assert (answer.status, "pixels; expected at most" in answer.message) == (400, True)


@pytest.mark.parametrize(
    ("call", "content", "words"),
    [
        ("fixpolygon", b"\x89PNG", "no PNG file"),
        ("fixpolygon", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + b"\xff" * 8, "damaged, or has more than"),
        ("mask2polygon", b"\x89PNG", "expected a volume"),
    ],
)
def test_wrong_pictures(aiaa: AiaaSite, tmp_path: Path, call: str, content: bytes, words: str) -> None:
    (tmp_path / "a.png").write_bytes(content)
    params = {"poly": [SQUARE], "vertex_offset": [4, 2], "polygon_index": 0, "vertex_index": 3}
    answer = aiaa.python("POST", f"/v1/{call}", params=params, image=tmp_path / "a.png")
    assert (answer.status, words in answer.message) == (400, True), answer.body


@pytest.mark.parametrize("skipped", [-1, 1.5, "x", 10**9, True])
def test_wrong_ratios(aiaa: AiaaSite, mask_file: Path, skipped: object) -> None:
    answer = aiaa.python("POST", "/v1/mask2polygon", params={"more_points": skipped}, image=mask_file)
    assert (answer.status, "whole number from 0" in answer.message) == (400, True)
