"""What a hostile or a mistaken client sends: refused in words, with a fitting code, and nothing is touched."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from gateway.server import Gateway
from tests.gateway.http.monai_label.test_masks import SIX
from tests.gateway.http.sites import HttpSite
from tests.support.images import noisy_volume

PART = b'--b\r\nContent-Disposition: form-data; name="a%d"\r\n\r\n\r\n'
MISSING = f"{'0' * 64}-{'0' * 16}"


@pytest.fixture(scope="module")
def session(site: HttpSite, tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("image") / "a.nrrd"
    noisy_volume().write(file)
    return site.open_session(file)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ("{", "no JSON"),
        ("[1]", "expected an object"),
        ("[" * 100_000, "no JSON"),
        ({"foreground": "x"}, "expected a list of"),
        ({"foreground": [[1, 2]]}, "expected a list of"),
        ({"foreground": [[1, 2, True]]}, "expected a list of"),
        ({"foreground": [[1, 2, 10**400]]}, "expected a list of"),
        ({"foreground": [[1, 2, 3]] * 1001}, "at most 1000"),
        ({"foreground": []}, "no points"),
        ({}, "no points"),
        ({"foreground": [[999, 0, 0], *SIX[1:]]}, "outside the image"),
        ({"foreground": [[1, 1, 1]] * 6}, "one plane"),
        ({"foreground": SIX, "label": ["x"]}, "no text"),
        ({"foreground": SIX, "label": "\ud800"}, "no JSON"),
        ({"foreground": SIX, "label": "x" * 10_000}, "name"),
        ({"foreground": SIX, "roi": [1]}, "no box"),
        ({"foreground": SIX, "result_extension": "/../../x.nrrd"}, "expected one of"),
        ({"foreground": SIX, "result_extension": {"a": 1}}, "expected one of"),
        ({"foreground": SIX, "result_dtype": "float1024"}, "expected one of uint8"),
        ({"foreground": SIX, "result_dtype": ["uint8"]}, "expected one of uint8"),
        ({"points": SIX, "point_labels": [1]}, "another length"),
    ],
)
def test_parameters(site: HttpSite, session: str, params: object, words: str) -> None:
    text = params if isinstance(params, str) else json.dumps(params)
    path = f"/infer/annotation?session_id={session}"
    answer = site.request("POST", path, files={"params": (None, text)})
    assert answer.status_code == 400, answer.text
    assert words in answer.json()["detail"]
    assert answer.json()["reason"].startswith("INVALID_")


@pytest.mark.parametrize(
    ("method", "path", "code", "reason"),
    [
        ("POST", "/infer/none?session_id={}", 404, "MODEL_NOT_FOUND"),
        ("POST", "/infer/annotation", 400, "INVALID_UPLOAD"),
        ("POST", "/infer/annotation?image=/etc/passwd", 404, "IMAGE_NOT_FOUND"),
        ("POST", "/infer/annotation?image=../../x", 404, "IMAGE_NOT_FOUND"),
        ("POST", f"/infer/annotation?session_id={MISSING}", 404, "IMAGE_NOT_FOUND"),
        ("POST", "/infer/annotation?session_id={}&output=x", 400, "INVALID_ARGUMENT"),
        ("POST", "/infer/annotation?session_id={}&output=dicom_seg", 409, "FAILED_PRECONDITION"),
        ("GET", "/session/..%2F..%2Fetc", 404, "NOT_FOUND"),
        ("GET", "/session/x", 404, "IMAGE_NOT_FOUND"),
        ("GET", "/datastore/image?image=/etc/passwd", 404, "IMAGE_NOT_FOUND"),
        ("GET", "/datastore/label?label=x&tag=../../x", 409, "FAILED_PRECONDITION"),
        ("PUT", "/datastore/label?image=x&tag=../../x", 409, "FAILED_PRECONDITION"),
        ("PUT", "/session/", 400, "INVALID_UPLOAD"),
        ("PATCH", "/info/", 405, "INVALID_ARGUMENT"),
        ("POST", "/train/x", 404, "NOT_FOUND"),
        ("GET", "/train/?check_if_running=true", 404, "NOT_FOUND"),
        ("GET", "/model/annotation", 404, "NOT_FOUND"),
    ],
)
def test_addresses(site: HttpSite, session: str, method: str, path: str, code: int, reason: str) -> None:
    answer = site.request(method, path.format(session))
    assert (answer.status_code, answer.json()["reason"]) == (code, reason)
    assert answer.json()["detail"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.nrrd", b"", "empty"),
        (
            "a.nrrd",
            b"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 9999 9999 9999\nencoding: raw\n\n\0",
            "the image",
        ),
        ("a.nii.gz", gzip.compress(b"\0" * 1000, mtime=0), "the image"),
        ("a.nii.gz", b"\x1f\x8b" + b"\0" * 500, "the image"),
        ("../../../tmp/x.exe", b"x", "an image file ends in"),
        ("x.dcm", b"\0" * 128 + b"DICM", "a DICOM series cannot be sent here yet"),
        ("x.nhdr", b"NRRD0004\ndata file: /etc/passwd\n", "an image file ends in"),
        (
            "x.mha",
            b"NDims = 3\nDimSize = 2 2 2\nElementType = MET_UCHAR\nElementDataFile = /etc/passwd\n",
            "",
        ),
        ("a.nrrd", b"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 2 2 2\nencoding: raw\ndata file: /etc/passwd\n", ""),
    ],
)
def test_files(http_gateway: Gateway, site: HttpSite, name: str, content: bytes, words: str) -> None:
    answer = site.request("PUT", "/session/", files={"files": (name, content)})
    assert (answer.status_code, answer.json()["reason"]) == (400, "INVALID_VOLUME"), answer.text
    assert words in answer.json()["detail"]
    folder = http_gateway._settings.cache_folder / "http"
    assert str(folder) not in answer.text
    assert not list(folder.iterdir())


def test_bodies(site: HttpSite, session: str, tmp_path: Path) -> None:
    path = f"/infer/annotation?session_id={session}"
    headers = {"content-type": "multipart/form-data; boundary=b"}
    for content, words in (
        (b"", "ended early"),
        (b'--b\r\nContent-Disposition: form-data; name="params"\r\n\r\n{}', "ended early"),
        (b"".join(PART % n for n in range(65)) + b"--b--", "too many parts"),
    ):
        answer = site.request("POST", path, content=content, headers=headers)
        assert answer.status_code == 400
        assert words in answer.json()["detail"]
    large = site.request("POST", path, files={"params": (None, "x" * (2**18 + 1))})
    assert (large.status_code, "at most 262144 bytes" in large.json()["detail"]) == (413, True)
    scribbles = site.request("POST", path, files={"params": (None, "{}"), "label": ("l.nrrd", b"x")})
    assert "scribbles" in scribbles.json()["detail"]
