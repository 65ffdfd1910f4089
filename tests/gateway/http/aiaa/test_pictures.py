"""Pictures, which have no spacing: refused in words wherever a volume is expected, and taken as slices of polygons."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from tests.gateway.http.aiaa.clients import AiaaSite
from tests.gateway.prompts import POINTS
from tests.support.images import noisy_volume

SIX = POINTS.astype(int).tolist()
ON_SLICE = {"foreground": [[20, 17, 0]], "background": []}


@pytest.fixture(params=["png", "jpg", "jpeg"])
def picture(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A slice of the image, as grey levels."""
    voxels = noisy_volume().array[16]
    grey = (255 * (voxels - voxels.min()) / np.ptp(voxels)).astype(np.uint8)
    file = tmp_path / f"slice.{request.param}"
    sitk.WriteImage(sitk.GetImageFromArray(grey), str(file))
    return file


@pytest.mark.parametrize(
    ("method", "path", "params"),
    [
        ("PUT", "/session/?expiry=0", None),
        ("POST", "/v1/segmentation?model=segmentation_hippocampus", {}),
        ("POST", "/v1/inference?model=segmentation_hippocampus", {}),
        ("POST", "/v1/dextr3d?model=annotation", {"points": SIX}),
        ("POST", "/v1/deepgrow?model=annotation_deepgrow_2d", ON_SLICE),
        ("POST", "/v1/inference?model=annotation_deepgrow_2d", ON_SLICE),
        ("POST", "/v1/mask2polygon", {"more_points": 10}),
    ],
)
def test_a_picture_is_no_volume(aiaa: AiaaSite, picture: Path, method: str, path: str, params: object) -> None:
    for field in ("image", "datapoint", "image0"):
        answer = aiaa.python(method, path, params=params, image=picture, field=field)
        assert (answer.status, answer.json()["error"]) == (
            400,
            {
                "message": [
                    f"the image is a picture ({picture.suffix}), which has no spacing in mm and no further slices, and "
                    "the gateway invents none; expected a volume (.nii, .nii.gz, .nrrd, .mha): send the one that the "
                    "picture is a slice of"
                ],
                "type": "VolumeError",
            },
        )


def test_a_slice_alone_is_no_volume_either(aiaa: AiaaSite, tmp_path: Path) -> None:
    plane = sitk.GetImageFromArray(noisy_volume().array[16:17])
    sitk.WriteImage(plane, str(tmp_path / "slice.nii.gz"))
    path = "/v1/deepgrow?model=annotation_deepgrow_2d"
    answer = aiaa.python("POST", path, params=ON_SLICE, image=tmp_path / "slice.nii.gz")
    assert (answer.status, "at least two voxels along each axis" in answer.message) == (400, True)


def test_a_picture_that_claims_to_be_huge_is_not_opened(aiaa: AiaaSite, tmp_path: Path) -> None:
    size = (2**31 - 1).to_bytes(4, "big")
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + 2 * size + b"\x10\x06\0\0\0" + bytes(99))
    for method, path, words in (
        ("PUT", "/session/", "has no spacing"),
        ("POST", "/v1/fixpolygon", "has more than 16777216 pixels"),
    ):
        answer = aiaa.python(method, path, params={}, image=tmp_path / "bomb.png", field="image")
        assert (answer.status, words in answer.message) == (400, True), answer.body


def test_polygons_are_fixed_on_png_only(aiaa: AiaaSite, picture: Path) -> None:
    square = [[2, 1], [10, 1], [10, 9], [2, 9]]
    params = {"poly": [square], "vertex_offset": [1, 1], "polygon_index": 0, "vertex_index": 2}
    answer = aiaa.python("POST", "/v1/fixpolygon", params=params, image=picture)
    if picture.suffix == ".png":
        assert answer.status == 200
    else:
        assert (answer.status, "is no PNG file; expected a slice as PNG" in answer.message) == (400, True)


def test_no_model_classifies_pictures(aiaa: AiaaSite, picture: Path) -> None:
    # The test suite of the Python client asks NVIDIA's server for this.
    path = "/v1/inference?model=clara_xray_classification_chest_amp"
    answer = aiaa.python("POST", path, params={}, image=picture)
    assert (answer.status, "no model is called" in answer.message, "annotation" in answer.message) == (404, True, True)
    for kind in ("classification", "others", "pipeline"):
        assert json.loads(aiaa.call("GET", f"/v1/models?type={kind}").body) == []
