"""Sessions of AIAA's clients: they end, and the other dialect understands them."""

from __future__ import annotations

import time
from pathlib import Path

from gateway.server import Gateway
from sixpoint.volume import Volume
from tests.gateway.http.aiaa.clients import AiaaSite
from tests.gateway.http.sites import HttpSite
from tests.gateway.prompts import POINTS
from tests.support.images import noisy_volume
from tests.support.orthanc import write_ct_series

SIX = POINTS.astype(int).tolist()
MISSING = f"{'0' * 64}-{'a' * 26}"


def outline(site: AiaaSite, session: str) -> int:
    return site.python("POST", f"/v1/dextr3d?model=annotation&session_id={session}", params={"points": SIX}).status


def test_a_session_is_closed_once(aiaa: AiaaSite, image_file: Path) -> None:
    session = aiaa.open_session(image_file)
    info = aiaa.call("GET", f"/session/{session}")
    assert (info.status, info.json()["name"]) == (200, session)
    assert b"ustermann" not in info.body
    assert outline(aiaa, session) == 200
    assert aiaa.call("DELETE", f"/session/{session}").status == 200
    for method in ("DELETE", "GET"):
        assert aiaa.call(method, f"/session/{session}").status == 404
    assert outline(aiaa, session) == 440


def test_unknown_sessions_have_ended(aiaa: AiaaSite, image_file: Path) -> None:
    session = aiaa.open_session(image_file)
    digest, _, anchor = session.partition("-")
    for text in (MISSING, "9ad970be-530e-11ea-84e3-0242ac110007", f"{'0' * 64}-{anchor}", f"{digest}-{'b' * 26}"):
        answer = aiaa.python("POST", f"/v1/segmentation?model=segmentation_hippocampus&session_id={text}", params={})
        assert (answer.status, "session" in answer.message or "image" in answer.message) == (440, True)
        assert aiaa.call("GET", f"/session/{text}").status == 404


def test_a_session_ends_when_it_was_not_used_for_its_expiry(aiaa: AiaaSite, image_file: Path) -> None:
    short, long = aiaa.open_session(image_file, "?expiry=1"), aiaa.open_session(image_file, "?expiry=9999999")
    time.sleep(1.1)
    ended = aiaa.python("POST", f"/v1/dextr3d?model=annotation&session_id={short}", params={"points": SIX})
    assert (ended.status, "was not used for 1 s" in ended.message) == (440, True)
    assert aiaa.call("GET", f"/session/{short}").status == 404
    assert outline(aiaa, long) == 200
    for wrong in ("x", "-1", "12345678", "1.5"):
        answer = aiaa.python("PUT", f"/session/?expiry={wrong}", image=image_file, field="image")
        assert (answer.status, "expected a number of seconds" in answer.message) == (400, True)


def test_both_dialects_share_the_address_of_sessions(http_gateway: Gateway, image_file: Path) -> None:
    aiaa, monai = AiaaSite.of(http_gateway, ""), HttpSite.of(http_gateway, "")
    theirs, ours = monai.open_session(image_file), aiaa.open_session(image_file)
    points = {"foreground": SIX, "background": [], "label": "object"}
    for session in (theirs, ours):
        assert outline(aiaa, session) == 200
        assert monai.infer("annotation", points, session_id=session).status_code == 200
    # A window of MONAI Label's is used again after it was closed; a session of AIAA's is gone.
    for _ in range(2):
        assert monai.request("DELETE", f"/session/{theirs}").status_code == 200
    assert aiaa.call("DELETE", f"/session/{ours}").status == 200
    gone = aiaa.call("DELETE", f"/session/{ours}")
    assert (gone.status, "closed" in gone.message) == (404, True)
    assert outline(aiaa, theirs) == 200
    assert set(monai.request("PUT", "/session/", files={"files": ("a.nrrd", b"x")}).json()) == {"detail", "reason"}
    assert aiaa.python("PUT", "/session/", image=image_file, field="image9").status == 200


def test_slices_of_a_series_become_one_image(http_gateway: Gateway, aiaa: AiaaSite, tmp_path: Path) -> None:
    # OHIF sends a file for each slice, in an order of its own, and parameters that are null.
    volume = noisy_volume((40, 36, 70))
    write_ct_series(tmp_path / "series", volume)
    files = [
        (f"image{number}", (f"image_{number}.dcm", file.read_bytes()))
        for number, file in enumerate(sorted((tmp_path / "series").iterdir()))
    ]
    site = HttpSite.of(http_gateway, "/aiaa")
    answer = site.request("PUT", "/session/?expiry=0&save_as=.nii", files=[*files, ("params", (None, "null"))])
    assert answer.status_code == 200, answer.text
    session = answer.json()["session_id"]
    assert session.partition("-")[0] == Volume.read(tmp_path / "series").digest
    assert outline(aiaa, session) == 200
    name, (file, content) = files[0]
    broken = site.request("PUT", "/session/", files=[(name, (file, content[:900])), *files[1:]])
    assert (broken.status_code, "of the 70 files 69 are slices" in broken.text) == (400, True)
    many = [(f"image{number}", (f"{number}.dcm", b"x")) for number in range(4097)]
    refused = site.request("PUT", "/session/", files=many)
    assert (refused.status_code, "at most 4096" in refused.text) == (400, True)


def test_no_images_are_fetched_without_a_server(aiaa: AiaaSite) -> None:
    headers = {"content-type": "application/json"}
    answer = aiaa.call("PUT", "/session/", body=b'{"dicom": {"server_address": "10.0.0.1"}}', headers=headers)
    assert (answer.status, "SIXPOINT_DICOMWEB_URL" in answer.message) == (400, True)
