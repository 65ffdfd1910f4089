"""What viewers are told of an image whose header lacks what the gateway needs."""

from __future__ import annotations

import io
import json
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from gateway.http.decode_image import _ADVICE
from gateway.server import Gateway
from sixpoint.volume import Volume
from tests.gateway.http.sites import HttpSite
from tests.support.images import noisy_volume
from tests.support.orthanc import write_ct_series
from tests.support.paths import ROOT

# An image of 4 x 4 x 4 voxels that says nothing of its spacing.
BARE = b"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 4 4 4\nencoding: raw\nendian: little\n\n" + bytes(64)


def test_a_missing_spacing_is_refused_in_words_for_viewers(http_gateway: Gateway) -> None:
    monai = HttpSite.of(http_gateway, "/monailabel").request("PUT", "/session/", files={"files": ("a.nrrd", BARE)})
    aiaa = HttpSite.of(http_gateway, "/aiaa").request("PUT", "/session/", files={"image": ("a.nrrd", BARE)})
    url = f"{HttpSite.of(http_gateway, '/api/v1').url}/images?format=nrrd"
    rest = httpx.post(url, content=BARE, trust_env=False)
    for answer in (monai, aiaa, rest):
        assert answer.status_code == 400, answer.text
        assert "no spacing" in answer.text
        assert "set the spacing in the program that sends the image" in answer.text
        # Viewers have no command line.
        assert "--" not in answer.text


def test_two_series_in_a_zip_are_refused_in_words_for_programs(http_gateway: Gateway, tmp_path: Path) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as target:
        for number in (1, 2):
            write_ct_series(tmp_path / f"{number}", noisy_volume((6, 5, 4)), number=number)
            for path in (tmp_path / f"{number}").iterdir():
                target.write(path, f"{number}/{path.name}")
    url = f"{HttpSite.of(http_gateway, '/api/v1').url}/images?format=zip"
    answer = httpx.post(url, content=content.getvalue(), trust_env=False, timeout=60)
    assert answer.status_code == 400, answer.text
    assert "send the files of one of them alone" in answer.json()["detail"]
    assert "--" not in answer.json()["detail"]


def test_the_library_still_says_what_is_replaced() -> None:
    source = "".join(path.read_text() for path in (ROOT / "sixpoint" / "io").rglob("*.py"))
    joined = re.sub(r'"\s*f?"', "", source)
    assert [options for options, _ in _ADVICE if options not in joined] == []


@pytest.mark.parametrize(("door", "words"), [("api", "give FRAME_"), ("monailabel", "send voxel indices")])
def test_points_in_another_frame_are_refused_in_words_for_programs(
    http_gateway: Gateway, tmp_path: Path, door: str, words: str
) -> None:
    noise = noisy_volume()
    image = Volume(noise.array, replace(noise.geometry, origin=(200, 300, 400)))
    image.write(tmp_path / "a.nrrd")
    # Voxel indices outside of the image, which lie in it as millimetres.
    points = image.geometry.index_to_point(
        [(2, 17, 16), (38, 17, 16), (20, 2, 16), (20, 33, 16), (20, 17, 2), (20, 17, 29)]
    )
    if door == "api":
        api = HttpSite.of(http_gateway, "/api/v1")
        digest = api.request("POST", "/images?format=nrrd", content=(tmp_path / "a.nrrd").read_bytes()).json()["digest"]
        session = api.request("POST", "/sessions", json={"image_digest": digest, "model": "annotation"}).json()["id"]
        listed = [dict(zip("xyz", map(float, point), strict=True)) for point in points]
        prompts = {"prompts": [{"extreme_points": {"frame": "FRAME_VOXEL", "points": listed}}]}
        answer = api.request("POST", f"/sessions/{session}/segments/1/prompts", json=prompts)
    else:
        site = HttpSite.of(http_gateway)
        params = {"foreground": [[round(value) for value in point] for point in points], "background": []}
        answer = site.infer("annotation", params, session_id=site.open_session(tmp_path / "a.nrrd"))
    assert (answer.status_code, words in json.loads(answer.content)["detail"]) == (400, True), answer.text
    assert "--" not in answer.text
