"""What a hostile or a mistaken client of AIAA sends: refused in words, in the form that clients show."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.gateway.http.aiaa.clients import AiaaSite
from tests.gateway.prompts import POINTS

SIX = POINTS.astype(int).tolist()


@pytest.fixture(scope="module")
def session(aiaa: AiaaSite, image_file: Path) -> str:
    return aiaa.open_session(image_file)


@pytest.mark.parametrize(
    ("call", "params", "words"),
    [
        ("dextr3d?model=annotation", {"points": SIX[:5]}, "has 5 points; set six"),
        ("dextr3d?model=annotation", {}, "has 0 points; set six"),
        ("dextr3d?model=annotation", {"points": [[1, 1, n] for n in range(21)]}, "expected 6 to 20 points"),
        ("dextr3d?model=annotation", {"points": "[[1,2,"}, "no JSON"),
        ("dextr3d?model=annotation", {"points": "7"}, "expected a list of"),
        ("dextr3d?model=annotation", {"points": [[1, 2]] * 6}, "expected a list of"),
        ("dextr3d?model=annotation", {"points": [[10**400, 1, 1], *SIX]}, "expected a list of"),
        ("dextr3d?model=annotation", {"points": [[9999, 1, 1], *SIX]}, "outside the image"),
        ("dextr3d?model=annotation", '{"points": [[NaN,1,1],[1,1,1],[1,1,1],[1,1,1],[1,1,1],[1,1,1]]}', "finite"),
        ("dextr3d?model=annotation", {"points": [[1, 1, 1]] * 6}, "one plane"),
        ("dextr3d?model=annotation", "[1]", "expected an object"),
        ("dextr3d?model=annotation", "{", "no JSON"),
        ("dextr3d?model=annotation", {"points": SIX, "result_extension": ".exe"}, "expected one of"),
        ("dextr3d?model=annotation", {"points": SIX, "result_dtype": "int8"}, "expected one of"),
        ("dextr3d?model=annotation", {"points": SIX, "result_dtype": ["x"]}, "expected one of"),
        ("dextr3d?model=annotation&output=x", {"points": SIX}, "expected image, json or all"),
        ("deepgrow?model=annotation", {}, "no points in the object"),
        ("deepgrow?model=annotation", {"background": [[1, 1, 1]]}, "no points in the object"),
        ("deepgrow?model=annotation", {"foreground": [[99, 1, 1]]}, "outside the image"),
        ("deepgrow?model=annotation", {"foreground": [[1, 2, 3]] * 1001}, "at most 1000"),
        ("deepgrow?model=segmentation_hippocampus", {"foreground": SIX}, "call /v1/segmentation"),
        ("dextr3d?model=segmentation_hippocampus", {"points": SIX}, "call /v1/segmentation"),
        ("segmentation?model=annotation", {}, "call /v1/dextr3d"),
        ("segmentation?model=none", {}, "no model is called"),
        ("segmentation?x=1", {}, "names no model"),
    ],
)
def test_parameters(aiaa: AiaaSite, session: str, call: str, params: object, words: str) -> None:
    answer = aiaa.python("POST", f"/v1/{call}&session_id={session}", params=params)
    assert 400 <= answer.status < 440, answer.body
    assert words in answer.message


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.nii.gz", b"", "empty"),
        ("a.nii.gz", b"\x1f\x8b" + b"\0" * 500, "the image"),
        ("x.bin", b"x", "an image file ends in"),
        ("x.dcm", b"\0" * 128 + b"DICM", "DICOM"),
    ],
)
def test_files(aiaa: AiaaSite, tmp_path: Path, name: str, content: bytes, words: str) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    for answer in (
        aiaa.python("PUT", "/session/", image=file, field="image"),
        aiaa.python("POST", "/v1/dextr3d?model=annotation", params={"points": SIX}, image=file),
    ):
        assert (answer.status, words in answer.message) == (400, True)
        assert str(tmp_path) not in answer.message


def test_a_call_without_an_image(aiaa: AiaaSite) -> None:
    answer = aiaa.python("POST", "/v1/segmentation?model=segmentation_hippocampus", params={})
    assert (answer.status, "has 0 images" in answer.message) == (400, True)
    answer = aiaa.call("POST", "/v1/segmentation?model=segmentation_hippocampus")
    assert (answer.status, "has 0 images" in answer.message) == (400, True)
    answer = aiaa.call("POST", "/v1/segmentation?model=segmentation_hippocampus", body=json.dumps({}).encode())
    assert (answer.status, "no form" in answer.message) == (400, True)
