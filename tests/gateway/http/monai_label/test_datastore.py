"""Images over MONAI Label's dialect: sessions, downloads, and which image is next."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

import sixpoint
from gateway.server import Gateway
from sixpoint.volume import Volume
from tests.gateway.http.monai_label.test_masks import OBLIQUE, SIX
from tests.gateway.http.sites import HttpSite, read_mask
from tests.support.images import noisy_volume


def test_an_image_comes_back_as_it_was_sent(site: HttpSite, tmp_path: Path) -> None:
    OBLIQUE.write(tmp_path / "a.nrrd")
    answer = site.request(
        "PUT", "/datastore/?image=mustermann", files={"file": ("m.nrrd", (tmp_path / "a.nrrd").read_bytes())}
    )
    digest = answer.json()["image"]
    assert digest == Volume.read(tmp_path / "a.nrrd").digest
    content = site.get(f"/datastore/image?image={digest}").content
    assert np.array_equal(read_mask(content, tmp_path / "b.nrrd", OBLIQUE), OBLIQUE.array)
    # 3D Slicer asks by the name that it gave, of which nothing is written down.
    assert site.get("/datastore/image?image=mustermann").content == content
    assert site.get("/datastore/image?image=musterfrau").status_code == 404
    head = site.request("HEAD", f"/datastore/image?image={digest}")
    assert (head.status_code, int(head.headers["content-length"])) == (200, len(content))
    for name in ("SHA256", "SHA512", "MD5"):
        right = hashlib.new(name, content).hexdigest()
        for check_sum, code in ((right, 200), ("0", 404)):
            path = f"/datastore/image?image={digest}&check_sum={name}:{check_sum}"
            assert site.request("HEAD", path).status_code == code
    assert site.request("HEAD", f"/datastore/image?image={digest}&check_sum=CRC:1").status_code == 400
    plain = hashlib.sha256(content).hexdigest()
    assert site.request("HEAD", f"/datastore/image?image={digest}&check_sum={plain}").status_code == 200
    assert site.get(f"/datastore/image/info?image={digest}").json()["name"] == f"{digest[:12]}.nrrd"


def test_sessions_are_described_without_paths_and_closed(http_gateway: Gateway, site: HttpSite, tmp_path: Path) -> None:
    digest = noisy_volume((8, 9, 10)).digest

    def open_sessions() -> int:
        with sixpoint.Client(f"127.0.0.1:{http_gateway.port}") as client:
            return sum(session.image_digest == digest for session in client.sessions())

    noisy_volume((8, 9, 10)).write(tmp_path / "Mustermann.nii.gz")
    session = site.open_session(tmp_path / "Mustermann.nii.gz")
    info = site.get(f"/session/{session}")
    assert (info.json()["name"], info.json()["path"]) == (session, "")
    assert "ustermann" not in info.text
    assert open_sessions() == 1
    for _ in range(2):
        assert site.request("DELETE", f"/session/{session}").json()["name"] == session
        assert open_sessions() == 0
    # A window that is used again gets a session again.
    points = {"foreground": [[x // 5, y // 5, z // 5] for x, y, z in SIX], "background": []}
    assert site.infer("annotation", points, session_id=session).status_code == 200
    assert open_sessions() == 1
    # Viewers then send the image again by themselves.
    assert site.get(f"/session/{'0' * 64}-{'0' * 16}").json() is None


@pytest.mark.parametrize("strategy", ["first", "random"])
def test_the_next_sample_is_one_without_annotations(site: HttpSite, tmp_path: Path, strategy: str) -> None:
    image = noisy_volume((40, 36, 30 if strategy == "first" else 31))
    image.write(tmp_path / "a.nrrd")
    session = site.open_session(tmp_path / "a.nrrd")

    def waiting() -> set[str]:
        return {site.request("POST", f"/activelearning/{strategy}", json={}).json().get("id") for _ in range(12)}

    if strategy == "random":
        assert image.digest in waiting()
    points = [[x, y, min(z, 28)] for x, y, z in SIX]
    assert site.infer("annotation", {"foreground": points, "background": []}, session_id=session).status_code == 200
    assert image.digest not in waiting()
    assert site.request("POST", "/activelearning/best", json={}).status_code == 404
