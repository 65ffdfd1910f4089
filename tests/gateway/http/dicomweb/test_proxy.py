"""DICOMweb through the gateway: what is passed on, and what is not."""

from __future__ import annotations

import logging
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pydicom
import pytest

pytest.importorskip("dicomweb_client")

from gateway.authentication.token_editing import NewEntry, add_entry, new_token, token_digest
from gateway.authentication.token_file import EntryKind
from gateway.core.access import Role
from sixpoint.io.dicomweb.server import DicomwebServer
from sixpoint.volume import Volume
from tests.gateway.http.dicomweb.conftest import CREDENTIALS, OBLIQUE, Hospital
from tests.gateway.http.sites import HttpSite
from tests.support.orthanc import PATIENT, write_ct_series
from tests.support.servers import running_gateway

JSON = {"accept": "application/dicom+json"}


def proxy(site: HttpSite) -> str:
    return f"{site.url}/monailabel/proxy/dicom"


def test_a_client_of_dicomweb_reads_and_stores_through_the_gateway(
    ward_site: HttpSite, hospital: Hospital, tmp_path: Path
) -> None:
    place, before = hospital.place, hospital.orthanc.count()
    through = Volume.read(f"dicomweb:{proxy(ward_site)}#{place.study}/{place.series}")
    assert through.digest == Volume.read(hospital.files).digest
    write_ct_series(tmp_path / "new", OBLIQUE)
    with DicomwebServer(proxy(ward_site)) as server:
        for path in sorted((tmp_path / "new").iterdir())[:3]:
            server.store(path)
    assert hospital.orthanc.count() == before + 3


@pytest.mark.parametrize("service", ["qido/", "wado/", ""])
@pytest.mark.parametrize("door", ["", "/monailabel"])
def test_the_viewers_addresses_are_passed_on(ward_site: HttpSite, hospital: Hospital, service: str, door: str) -> None:
    base, place = f"{door}/proxy/dicom/{service}", hospital.place
    study = f"{base}studies/{place.study}"
    assert len(ward_site.get(f"{base}studies?limit=101&offset=0&includefield=00081030", headers=JSON).json()) >= 1
    assert len(ward_site.get(f"{study}/series", headers=JSON).json()) == 1
    answer = ward_site.get(f"{study}/series/{place.series}/metadata", headers=JSON)
    assert len(answer.json()) == 32
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert answer.headers["cache-control"] == "private, no-store"
    instance = answer.json()[0]["00080018"]["Value"][0]
    path = f"{study}/series/{place.series}/instances/{instance}"
    frame = ward_site.get(
        f"{path}/frames/1", headers={"accept": "multipart/related; type=application/octet-stream; transfer-syntax=*"}
    )
    assert frame.headers["content-type"].startswith("multipart/related")
    assert len(frame.content) > 40 * 36 * 2
    whole = ward_site.get(path, headers={"accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'})
    assert b"DICM" in whole.content


def test_addresses_in_answers_lead_through_the_gateway(ward_site: HttpSite, hospital: Hospital) -> None:
    (found,) = ward_site.get(f"/proxy/dicom/studies/{hospital.place.study}/series", headers=JSON).json()
    (url,) = found["00081190"]["Value"]
    assert url.startswith(f"{ward_site.url}/proxy/dicom/studies/")
    assert hospital.orthanc.url not in str(found)
    assert HttpSite(url).get("/metadata", headers=JSON).status_code == 200


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("studies/1.2.3/metadata", 404),
        ("studies/1.2.3/series/4.5.6/metadata", 404),
        ("../../../system", 404),
        ("studies/../../system", 404),
        ("studies/%2e%2e/%2e%2e/system", 404),
        ("http://127.0.0.1:1/", 404),
        ("//127.0.0.1:1/studies", 404),
        ("studies/1.2.3@evil.example/series", 404),
        ("studies/1.2.3%3fx=1", 404),
        ("studies/1.2.3%23/series", 404),
        ("wado/wado/wado/system", 404),
        ("tools/execute-script", 404),
        ("studies?PatientName=%00", 400),
        ("studies?a%20b=1", 400),
        ("studies?" + "&".join(f"a{n}=1" for n in range(65)), 400),
        ("studies/" + "1." * 5000 + "1", 404),
        ("studies/1/instances/1/bulk/..%2f..%2fsystem", 404),
    ],
)
def test_nothing_else_is_passed_on(ward_site: HttpSite, path: str, code: int) -> None:
    answer = ward_site.get(f"/proxy/dicom/{path}", headers=JSON)
    assert (answer.status_code, set(answer.json())) == (code, {"detail", "reason"})
    assert "1.2.3" not in answer.text


def test_what_was_not_stored_is_no_success(ward_site: HttpSite, hospital: Hospital) -> None:
    header = pydicom.dcmread(hospital.files / "0003.dcm")
    header.SeriesInstanceUID = header.StudyInstanceUID = header.SOPInstanceUID = ""
    content = pydicom.filebase.DicomBytesIO()
    header.save_as(content)
    body = b"--b\r\nContent-Type: application/dicom\r\n\r\n" + content.getvalue() + b"\r\n--b--\r\n"
    kind = {"content-type": "multipart/related; type=application/dicom; boundary=b"}
    before = hospital.orthanc.count()
    assert ward_site.request("POST", "/proxy/dicom/stow/studies", content=body, headers=kind).status_code >= 400
    assert hospital.orthanc.count() == before
    for path, more, code in (("studies", {"content-type": "text/html"}, 415), ("series", kind, 404)):
        answer = ward_site.request("POST", f"/proxy/dicom/{path}", content=body, headers=more)
        assert (answer.status_code, set(answer.json())) == (code, {"detail", "reason"})


def test_roles_tenants_and_bounds(hospital: Hospital, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    tokens: dict[str, str] = {}
    for name, tenant, role in (
        ("viewer", "north", Role.VIEWER),
        ("annotator", "north", Role.ANNOTATOR),
        ("stranger", "south", Role.ADMIN),
    ):
        tokens[name] = new_token()
        entry = NewEntry(name, EntryKind.HEADER, name, tenant, role, None)
        add_entry(tmp_path / "tokens.toml", entry, key=token_digest(tokens[name]))
    path_token = new_token()
    entry = NewEntry("path", EntryKind.PATH, "path", "north", Role.VIEWER, None)
    add_entry(tmp_path / "tokens.toml", entry, key=token_digest(path_token))
    kind = {"content-type": "multipart/related; type=application/dicom; boundary=b"}
    with running_gateway(
        ready=False,
        triton_url="127.0.0.1:1",
        http_port=0,
        auth="tokens",
        tokens_file=tmp_path / "tokens.toml",
        path_tokens=True,
        dicomweb_url=hospital.orthanc.url,
        dicomweb_token=CREDENTIALS,
        dicomweb_tenants="east, north",
        max_image_bytes=1000,
    ) as gateway:
        site = HttpSite.of(gateway, "/proxy/dicom")

        def ask(who: str, method: str, path: str, **options: Any) -> int:
            headers = {"authorization": f"Bearer {tokens[who]}", **options.pop("headers", {})}
            return site.request(method, path, headers=headers, **options).status_code

        assert site.get("/studies").status_code == 401
        # The caller's own token must not reach the PACS, which would refuse it.
        assert ask("viewer", "GET", "/studies") == 200
        assert ask("viewer", "POST", "/studies", headers=kind, content=b"x") == 403
        assert ask("stranger", "GET", "/studies") == 403
        assert ask("annotator", "POST", "/studies", headers=kind, content=bytes(2**21)) == 413
        assert ask("annotator", "POST", "/studies", headers=kind, content=iter([bytes(2**20)] * 2)) == 413
        (found, *_) = HttpSite.of(gateway, f"/t/{path_token}").get("/proxy/dicom/studies", headers=JSON).json()
        assert found["00081190"]["Value"][0].startswith(f"{HttpSite.of(gateway, '').url}/t/{path_token}/proxy/dicom/")
    for secret in (hospital.place.study, PATIENT, "s3cret", tokens["viewer"], path_token):
        assert secret not in caplog.text


def test_a_gateway_without_a_pacs_says_so(site: HttpSite) -> None:
    answer = site.get("/proxy/dicom/studies")
    assert (answer.status_code, "SIXPOINT_DICOMWEB_URL" in answer.json()["detail"]) == (404, True)


@pytest.mark.parametrize(
    ("head", "code", "words"),
    [
        (
            b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
            400,
            "refuses the request",
        ),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 5\r\n\r\noops!", 503, "could not answer"),
        (b"HTTP/1.1 401 Who\r\nContent-Length: 0\r\n\r\n", 409, "SIXPOINT_DICOMWEB_TOKEN"),
        (b"HTTP/1.1 406 No\r\nContent-Length: 0\r\n\r\n", 406, "media type"),
        (b"nonsense\r\n\r\n", 503, "SIXPOINT_DICOMWEB_URL"),
        (b"", 503, "SIXPOINT_DICOMWEB_URL"),
    ],
)
def test_a_broken_pacs_is_said_in_words(head: bytes, code: int, words: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with listener.accept()[0] as connection:
                connection.recv(65536)
                connection.sendall(head)

        threading.Thread(target=serve, daemon=True).start()
        with running_gateway(
            ready=False,
            triton_url="127.0.0.1:1",
            http_port=0,
            dicomweb_url=f"http://127.0.0.1:{listener.getsockname()[1]}/dicom-web",
        ) as gateway:
            answer = HttpSite.of(gateway, "").get("/proxy/dicom/studies")
    assert (answer.status_code, words in answer.json()["detail"]) == (code, True)


def test_who_waits_for_a_slow_pacs_keeps_nobody_else_waiting() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\nContent-Length: 2\r\n\r\n[]"
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener, ExitStack() as stack:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection = stack.enter_context(listener.accept()[0])
                    # What asks for the study 1 is never answered.
                    if b"/studies/1/" not in connection.recv(65536):
                        connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/dicom-web"
        with (
            running_gateway(ready=False, triton_url="127.0.0.1:1", http_port=0, dicomweb_url=url) as gateway,
            ThreadPoolExecutor(40) as pool,
        ):
            site = HttpSite.of(gateway, "/proxy/dicom")
            greedy = [
                pool.submit(site.get, "/studies/1/series", headers={"sixpoint-owner": "greedy"}) for _ in range(40)
            ]
            time.sleep(1)
            other = site.get("/studies/2/series", headers={"sixpoint-owner": "other"}, timeout=10)
            assert (other.status_code, other.json()) == (200, [])
            assert not any(each.done() for each in greedy)
            listener.shutdown(socket.SHUT_RDWR)
            stack.close()


def test_what_a_pacs_calls_a_page_is_none(tmp_path: Path) -> None:
    body = b"<script>alert(1)</script>"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nSet-Cookie: a=b\r\nContent-Length: %d\r\n\r\n" % len(body)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with listener.accept()[0] as connection:
                connection.recv(65536)
                connection.sendall(head + body)

        threading.Thread(target=serve, daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/dicom-web"
        with running_gateway(ready=False, triton_url="127.0.0.1:1", http_port=0, dicomweb_url=url) as gateway:
            answer = HttpSite.of(gateway, "").get("/proxy/dicom/studies")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert "set-cookie" not in answer.headers
    assert answer.content == body
