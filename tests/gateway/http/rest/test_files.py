"""Files that are sent in chunks: continued, refused, read as images, and whose they are."""

from __future__ import annotations

import hashlib
import io
import itertools
import socket
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from gateway.authentication.token_editing import NewEntry, add_entry, new_token, token_digest
from gateway.authentication.token_file import EntryKind
from gateway.core.access import Role
from gateway.server import Gateway
from sixpoint.geometry import Geometry
from sixpoint.volume import Volume
from tests.gateway.http.rest.api import Api
from tests.gateway.http.sites import HttpSite
from tests.gateway.process import GatewayProcess
from tests.support.orthanc import write_ct_series
from tests.support.ports import free_port
from tests.support.servers import running_gateway

SIZE = (24, 20, 16)


def volume(seed: int) -> Volume:
    values = np.random.default_rng(seed).normal(100, 20, SIZE[::-1]).astype(np.int16)
    return Volume(values, Geometry(SIZE, spacing=(0.7, 0.8, 2.5), origin=(0.1, -3, 7)))


def nifti(folder: Path, seed: int) -> tuple[bytes, str]:
    """A file with an image; returns its bytes and its name over the API."""
    path = folder / "image.nii.gz"
    volume(seed).write(path)
    content = path.read_bytes()
    return content, name_of(content)


def name_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def part(begin: int, end: int, total: object) -> dict[str, str]:
    return {"content-range": f"bytes {begin}-{end - 1}/{total}"}


def arrived(api: Api, name: str, **options: Any) -> int:
    return int(api.json("GET", f"/files/{name}", **options)["received_byte_count"])


def kept(gateway: Gateway, name: str) -> bool:
    """Whether a gateway keeps a file of this name; other tests leave files in its folder, too."""
    return any((gateway._settings.cache_folder / "uploads").glob(f"file-{name}*"))


def test_a_file_comes_in_chunks_and_an_image_is_read_from_it(api: Api, http_gateway: Gateway, tmp_path: Path) -> None:
    content, name = nifti(tmp_path, 31)
    expected, total = Volume.read(tmp_path / "image.nii.gz"), len(content)
    for begin, end in itertools.pairwise([0, 1000, 1001, total]):
        assert arrived(api, name) == begin
        answer = api.request("PUT", f"/files/{name}", content=content[begin:end], headers=part(begin, end, total))
        assert answer.json() == {"received_byte_count": end}, answer.text
        assert answer.status_code == (201 if end == total else 202)
    assert kept(http_gateway, name)
    made = api.json("POST", f"/images?file={name}&format=nii.gz", status=201)
    assert made["digest"] == expected.digest
    assert arrived(api, name) == 0
    assert not kept(http_gateway, name)
    problem = api.problem("POST", f"/images?file={name}&format=nii.gz", status=400)
    assert (problem["reason"], problem["violations"][0]["field"]) == ("INVALID_UPLOAD", "file")


def test_a_zip_of_a_series_comes_in_one_body_or_two(api: Api, tmp_path: Path) -> None:
    folder = tmp_path / "series"
    folder.mkdir()
    write_ct_series(folder, volume(32))
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as target:
        for path in folder.iterdir():
            target.write(path, path.name)
    data, expected = content.getvalue(), Volume.read(folder)
    name = name_of(data)
    for cuts in ([0, len(data)], [0, len(data) // 2, len(data)]):
        for begin, end in itertools.pairwise(cuts):
            headers = part(begin, end, len(data)) if len(cuts) > 2 else {}
            answer = api.request("PUT", f"/files/{name}", content=data[begin:end], headers=headers)
        assert answer.status_code == 201, answer.text
        assert api.json("POST", f"/images?file={name}&format=zip", status=201)["digest"] == expected.digest


def test_gaps_overlaps_and_what_does_not_fit_are_refused_and_nothing_is_lost(api: Api, tmp_path: Path) -> None:
    content, name = nifti(tmp_path, 33)
    path, total = f"/files/{name}", len(content)
    assert api.request("PUT", path, content=content[:100], headers=part(0, 100, total)).status_code == 202
    for begin, end in ((200, 210), (99, 110), (1, total)):
        problem = api.problem("PUT", path, status=400, content=content[begin:end], headers=part(begin, end, total))
        assert (problem["reason"], "100 bytes of this file" in problem["detail"]) == ("INVALID_UPLOAD", True)
    for text in ("bytes 100-109", "bytes 109-100/200", "bytes 100-109/109", "bytes 100-109/*", "x" * 99):
        given = {"content-range": text}
        problem = api.problem("PUT", path, status=400, content=content[100:110], headers=given)
        assert problem["violations"][0]["field"] == "Content-Range"
    short = part(100, 200, total)
    assert "announced 100" in api.problem("PUT", path, status=400, content=content[100:110], headers=short)["detail"]
    # What came of it is there, and the rest can follow.
    assert arrived(api, name) == 110
    problem = api.problem("POST", f"/images?file={name}&format=nii.gz", status=400)
    assert "110 bytes of this file have arrived" in problem["detail"]
    rest = api.request("PUT", path, content=content[110:], headers=part(110, total, total))
    assert rest.status_code == 201, rest.text
    api.json("POST", f"/images?file={name}&format=nii.gz", status=201)


def test_bytes_that_are_not_those_announced_are_refused_and_removed(api: Api, http_gateway: Gateway) -> None:
    path = f"/files/{name_of(b'announced')}"
    assert api.problem("PUT", path, status=400, content=b"another")["reason"] == "CHECKSUM_MISMATCH"
    assert api.request("PUT", path, content=b"ano", headers=part(0, 3, 7)).status_code == 202
    problem = api.problem("PUT", path, status=400, content=b"ther", headers=part(3, 7, 7))
    assert (problem["reason"], "send the file again" in problem["detail"]) == ("CHECKSUM_MISMATCH", True)
    assert arrived(api, name_of(b"announced")) == 0
    assert not kept(http_gateway, name_of(b"announced"))


def test_a_file_that_is_no_image_stays_for_another_try(api: Api, http_gateway: Gateway, tmp_path: Path) -> None:
    content, name = nifti(tmp_path, 34)
    assert api.request("PUT", f"/files/{name}", content=content).status_code == 201
    assert api.problem("POST", f"/images?file={name}&format=nrrd", status=400)["reason"] == "INVALID_VOLUME"
    assert api.problem("POST", f"/images?file={name}", status=400)["violations"][0]["field"] == "format"
    problem = api.problem("POST", f"/images?file={name}&format=nii.gz", status=400, content=b"body")
    assert problem["violations"][0]["field"] == "file"
    assert arrived(api, name) == len(content)
    api.json("POST", f"/images?file={name}&format=nii.gz", status=201)
    assert not kept(http_gateway, name)
    # The files of a call go after its answer.
    while list((http_gateway._settings.cache_folder / "http").iterdir()):
        time.sleep(0.01)


def test_wrong_names_and_sizes_are_refused_in_words(api: Api) -> None:
    for name in ("x", "A" * 64, "..%2f..%2fetc"):
        assert api.request("PUT", f"/files/{name}", content=b"x").status_code in (400, 404)
    assert api.problem("PUT", "/files/x", status=400, content=b"x")["violations"][0]["field"] == "digest"
    assert api.problem("POST", "/images?file=x&format=nii", status=400)["violations"][0]["field"] == "digest"
    assert arrived(api, "x") == 0
    assert "empty" in api.problem("PUT", f"/files/{'0' * 64}", status=400, content=b"")["detail"]
    unsaid = api.problem("PUT", f"/files/{'0' * 64}", status=400, content=iter([b"x"]))
    assert "nothing says how many bytes" in unsaid["detail"]
    huge = part(0, 1, 10**15)
    assert "at most" in api.problem("PUT", f"/files/{'0' * 64}", status=413, content=b"x", headers=huge)["detail"]
    assert api.problem("PUT", f"/files/{'0' * 64}?x=1", status=400, content=b"x")["violations"][0]["field"] == "x"


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, dict[str, dict[str, str]]]]:
    """A gateway with callers of two tenants, and small limits."""
    tokens, file = dict[str, dict[str, str]](), tmp_path_factory.mktemp("tokens") / "tokens.toml"
    for subject, tenant, role in (
        ("anna", "north", Role.ANNOTATOR),
        ("bert", "north", Role.ANNOTATOR),
        ("anna", "south", Role.ANNOTATOR),
        ("vera", "north", Role.VIEWER),
    ):
        token, label = new_token(), f"{subject}-{tenant}"
        add_entry(file, NewEntry(label, EntryKind.HEADER, subject, tenant, role, None), key=token_digest(token))
        tokens[label] = {"authorization": f"Bearer {token}"}
    with running_gateway(
        ready=False,
        triton_url="127.0.0.1:1",
        http_port=0,
        auth="tokens",
        tokens_file=file,
        owner_image_bytes=2**20,
        owner_unfinished_upload_bytes=2**19,
    ) as gateway:
        yield gateway, tokens


def test_files_are_their_senders_and_their_tenants(
    limited: tuple[Gateway, dict[str, dict[str, str]]], tmp_path: Path
) -> None:
    gateway, tokens = limited
    api = Api(HttpSite.of(gateway, "/api/v1").url)
    content, name = nifti(tmp_path, 35)
    anna = tokens["anna-north"]
    assert api.request("PUT", f"/files/{name}", content=content, headers=anna).status_code == 201
    for label in ("bert-north", "anna-south"):
        assert arrived(api, name, headers=tokens[label]) == 0
        problem = api.problem("POST", f"/images?file={name}&format=nii.gz", status=400, headers=tokens[label])
        assert "no file with this SHA-256" in problem["detail"]
    vera = tokens["vera-north"]
    assert api.problem("GET", f"/files/{name}", status=403, headers=vera)
    assert api.problem("PUT", f"/files/{name}", status=403, content=content, headers=vera)
    # What arrived of a file is never the voxels of an image.
    assert api.json("GET", f"/images/{name}/upload", headers=anna) == {"received_byte_count": 0}
    assert api.problem("GET", f"/images/{name}/voxels", status=404, headers=anna)
    assert arrived(api, name, headers=anna) == len(content)
    api.json("POST", f"/images?file={name}&format=nii.gz", status=201, headers=anna)


def test_files_count_against_the_limits_of_uploads(limited: tuple[Gateway, dict[str, dict[str, str]]]) -> None:
    gateway, tokens = limited
    api, bert = Api(HttpSite.of(gateway, "/api/v1").url), tokens["bert-north"]
    long = part(0, 1, 2**19 + 1) | bert
    problem = api.problem("PUT", f"/files/{'0' * 64}", status=429, content=b"x", headers=long)
    assert "SIXPOINT_OWNER_UNFINISHED_UPLOAD_BYTES" in problem["detail"]
    assert not kept(gateway, "0" * 64)


def test_another_call_may_not_write_to_a_file_that_one_sends(api: Api, http_gateway: Gateway) -> None:
    name = name_of(bytes(2000))
    head = f"PUT /api/v1/files/{name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", http_gateway.http_ports["http"]), timeout=60) as slow:
        slow.sendall(head.encode() + bytes(1000))
        while not kept(http_gateway, name):
            time.sleep(0.01)
        problem = api.problem("PUT", f"/files/{name}", status=503, content=bytes(2000))
        assert "another call is sending this file" in problem["detail"]
    # The connection broke: what came is there.
    assert arrived(api, name) == 1000
    last = api.request("PUT", f"/files/{name}", content=bytes(1000), headers=part(1000, 2000, 2000))
    assert last.status_code == 201, last.text


@pytest.mark.slow
def test_another_gateway_on_the_folder_goes_on_where_a_killed_one_stopped(tmp_path: Path) -> None:
    content, name = nifti(tmp_path, 36)
    total, expected = len(content), Volume.read(tmp_path / "image.nii.gz").digest
    ports = [free_port(), free_port()]
    first, second = (GatewayProcess("127.0.0.1:1", tmp_path / "state", {"http_port": port}) for port in ports)
    apis = [Api(f"http://127.0.0.1:{port}/api/v1") for port in ports]
    try:
        for gateway, api in zip((first, second), apis, strict=True):
            # Without Triton it never serves models, but it takes files.
            gateway.start(wait=False)
            wait_for(api)
        assert apis[0].request("PUT", f"/files/{name}", content=content[:999], headers=part(0, 999, total)).is_success
        assert arrived(apis[1], name) == 999
        first.kill()
        rest = apis[1].request("PUT", f"/files/{name}", content=content[999:], headers=part(999, total, total))
        assert rest.status_code == 201, rest.text
        assert apis[1].json("POST", f"/images?file={name}&format=nii.gz", status=201)["digest"] == expected
    finally:
        first.kill()
        second.kill()


def wait_for(api: Api) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            assert api.get("/me").status_code == 200
            return
        except httpx.ConnectError:
            assert time.monotonic() < until
            time.sleep(0.1)
