"""What MITK's plug-ins read, by their own rules, which are narrower than HTTP's: NVIDIA's, and that for MONAI Label."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.server import Gateway
from tests.gateway.http.aiaa.clients import AiaaSite, Answer
from tests.gateway.http.sites import HttpSite, read_mask
from tests.gateway.prompts import POINTS
from tests.support.images import noisy_volume

SIX = POINTS.astype(int).tolist()


def read_as_nvidia_plugin(answer: Answer) -> tuple[dict[str, Any], bytes]:
    """Take the boundary from the body, the last text for the JSON, and what says octet-stream or filename for the file.

    The C++ client within the plug-in does so; what comes before the first boundary is an error.
    """
    assert answer.status == 200, answer.body
    assert "multipart" in answer.headers["content-type"]
    line, _, rest = answer.body.lstrip(b"\r\n").partition(b"\r\n")
    assert line.startswith(b"--")
    texts, files = list[bytes](), list[bytes]()
    for part in rest.split(b"\r\n" + line):
        head, found, content = part.lstrip(b"\r\n").partition(b"\r\n\r\n")
        if found:
            is_file = b'filename="' in head or b"octet-stream" in head
            (files if is_file else texts).append(content)
    (file,) = files
    content = json.loads(texts[-1])
    assert isinstance(content, dict)
    return content, file


def read_as_monai_label_tool(body: bytes) -> tuple[dict[str, Any], bytes]:
    """Take the JSON of the text before the second boundary, and the file behind a header that is looked for as text."""
    assert body.startswith(b"--")
    boundary = body.partition(b"\r\n")[0]
    first = body.split(boundary)[1]
    assert b"Content-Type: application/json" in first
    content = json.loads(first.partition(b"\r\n\r\n")[2])
    marker = b"Content-Type: application/octet-stream\r\n\r\n"
    assert body.count(marker) == 1
    return content, body.partition(marker)[2].rpartition(b"\r\n" + boundary)[0]


def test_automatic_segmentation_gives_candidates_for_the_boundary_tool(aiaa: AiaaSite, tmp_path: Path) -> None:
    image = noisy_volume((48, 56, 48))
    image.write(tmp_path / "a.nii.gz")
    # The plug-in asks for the name of the active label.
    models = json.loads(aiaa.call("GET", "/v1/models?label=Hippocampus%20anterior").body)
    name = next(model["name"] for model in models if model["type"] == "segmentation")
    params, file = read_as_nvidia_plugin(
        aiaa.cpp("POST", f"/v1/segmentation?model={name}", params={}, image=tmp_path / "a.nii.gz")
    )
    # A text with JSON in it, as servers of 2019 sent, is its error 102.
    assert isinstance(params["points"], list)
    assert all(isinstance(number, int) for point in params["points"] for number in point)
    assert read_mask(file, tmp_path / "labels.nii.gz", image).any()


def test_boundary_points_and_their_errors(aiaa: AiaaSite, image_file: Path, tmp_path: Path) -> None:
    path = "/v1/dextr3d?model=annotation"
    params, file = read_as_nvidia_plugin(aiaa.cpp("POST", path, params={"points": SIX}, image=image_file))
    assert params["points"] == SIX
    # Scalar, not int8, values of labels.
    mask = read_mask(file, tmp_path / "mask.nii.gz", noisy_volume())
    assert (mask.dtype.name, mask.max()) == ("uint8", 1)
    refused = aiaa.cpp("POST", path, params={"points": SIX[:5]}, image=image_file)
    assert refused.message


@pytest.mark.parametrize("newest", [[20, 17, 16], [[20, 17, 16]], "[[20, 17, 16]]", []])
def test_clicks_on_a_slice(aiaa: AiaaSite, image_file: Path, tmp_path: Path, newest: object) -> None:
    models = json.loads(aiaa.call("GET", "/v1/models?type=deepgrow").body)
    name = next(model["name"] for model in models if model["name"].startswith("annotation"))
    session = aiaa.cpp("PUT", "/session/", params={}, image=image_file).json()["session_id"]
    sent = {"foreground": [[20, 17, 16]], "background": [], "current_point": newest, "spatial_size": [128, 192, 192]}
    params, file = read_as_nvidia_plugin(
        aiaa.cpp("POST", f"/v1/deepgrow?model={name}&session_id={session}", params=sent)
    )
    mask = read_mask(file, tmp_path / "mask.nii.gz", noisy_volume())
    # The plug-in adds them to what it has on this slice.
    assert (mask.max(), np.flatnonzero(mask.any(axis=(1, 2))).tolist()) == (1, [16])
    # With a crop, 3D Slicer would keep what an earlier answer had elsewhere.
    assert "crop" not in params


def test_the_tool_for_monai_label_finds_what_it_looks_for(http_gateway: Gateway, tmp_path: Path) -> None:
    site = HttpSite.of(http_gateway, "")
    info = site.request("GET", "/info/").json()
    assert all(isinstance(info[key], str) for key in ("name", "description"))
    assert all(isinstance(label, str) for label in info["labels"])
    for model in info["models"].values():
        assert isinstance(model["labels"], dict)
        assert (isinstance(model["type"], str), model["dimension"] in {2, 3}) == (True, True)
        assert isinstance(model["description"], str)
    noisy_volume().write(tmp_path / "post_from_mitk.nii.gz")
    sent = {"foreground": SIX, "background": [], "reset_state": True}
    files = {
        "params": (None, json.dumps(sent)),
        "file": ("post_from_mitk.nii.gz", (tmp_path / "post_from_mitk.nii.gz").read_bytes()),
    }
    answer = site.request("POST", "/infer/annotation", files=files)
    assert answer.status_code == 200, answer.text
    params, file = read_as_monai_label_tool(answer.content)
    assert all(isinstance(number, int) for number in params["label_names"].values())
    assert read_mask(file, tmp_path / "mask.nii.gz", noisy_volume()).any()
