"""What all doors have in common: who may call, from where, and how errors come back."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast
from unittest.mock import MagicMock

import httpx
import pytest

from gateway.authentication.token_editing import NewEntry, add_entry, new_token, token_digest
from gateway.authentication.token_file import EntryKind
from gateway.core.access import Role
from gateway.edges.doors import make_doors
from gateway.grpc.permissions import ROLES
from gateway.http.errors import HttpRefusal
from gateway.server import Gateway
from gateway.settings import Settings
from gateway.triton.local.server import LocalTriton
from sixpoint.errors import InvalidArgument, PromptError
from sixpoint.geometry import Geometry
from sixpoint.prompts import Click
from tests.gateway.http.sites import HttpSite
from tests.support.certificates import write_certificates
from tests.support.images import noisy_volume
from tests.support.servers import running_gateway

PAGE = "https://viewer.example"


def test_only_what_tells_nothing_is_for_everybody(tmp_path: Path) -> None:
    settings = Settings(state_folder=tmp_path, ohif_folder=tmp_path)
    doors = make_doors(settings, MagicMock(), cast("Any", None), authenticator=MagicMock())
    routes = {f"{route.method} /{door.name}{route.path}": route.role for door in doors for route in door.routes}
    assert {name for name, role in routes.items() if role is None} == {
        "GET /monailabel/auth/",
        "POST /monailabel/auth/token",
        "GET /api/v1/openapi.json",
        "GET /ohif/",
        "GET /ohif/{path:path}",
        "GET /itksnap/status",
        "GET /itksnap:{port:int}/status",
        "GET /aiaa/docs/",
        "GET /nninteractive/{model}/healthz",
    }
    assert {name for name, role in routes.items() if role is Role.ADMIN} == {
        "POST /api/v1/datasets/{dataset}/remove",
        "PUT /api/v1/datasets/{dataset}/learning/rules",
        *(f"POST /api/v1/datasets/{{dataset}}/learning/{name}" for name in ("rounds", "promote", "rollback")),
        "DELETE /monailabel/datastore/",
        "DELETE /monailabel/datastore/image",
        *(f"{method} /monailabel/model/{{name}}" for method in ("GET", "PUT", "DELETE")),
        *(f"{method} /aiaa/admin/model/{{name}}" for method in ("GET", "PUT", "PATCH", "DELETE")),
    }


def test_no_door_advises_options_of_the_command_line(tmp_path: Path) -> None:
    settings = Settings(state_folder=tmp_path, ohif_folder=tmp_path)
    # In the image only as millimetres.
    geometry = Geometry(size=(4, 4, 4), origin=(100, 200, 300))
    with pytest.raises(PromptError) as caught:
        Click((101, 202, 302)).to_index(geometry)
    assert "--frame" in caught.value.message
    for door in make_doors(settings, MagicMock(), cast("Any", None), authenticator=MagicMock()):
        answer = door.error_form(HttpRefusal(400, caught.value))
        assert (b"outside the image" in bytes(answer.body), b"--" in bytes(answer.body)) == (True, False), door.name


def test_both_spellings_of_an_address_are_served_with_and_without_the_first_part(http_gateway: Gateway) -> None:
    for prefix in ("", "/monailabel"):
        for path in ("/info/", "/info", "/auth/", "/auth", "/datastore", "/logs"):
            assert HttpSite.of(http_gateway, prefix).get(path).status_code == 200


def test_what_nobody_serves_is_said_as_json(site: HttpSite) -> None:
    for method, path, code in (("GET", "/nothing", 404), ("DELETE", "/info/", 405), ("GET", "/t/x/monailabel/", 404)):
        answer = site.request(method, path)
        assert (answer.status_code, set(answer.json())) == (code, {"detail", "reason"})


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"host": "evil.example"},
        {"host": "evil.example:80", "origin": "http://evil.example:80"},
    ],
)
def test_pages_of_other_sites_are_refused(site: HttpSite, headers: dict[str, str]) -> None:
    answer = site.get("/info/", headers=headers)
    assert (answer.status_code, answer.json()["reason"]) == (403, "PERMISSION_DENIED")
    assert "SIXPOINT_HTTP_ORIGINS" in answer.json()["detail"]
    assert "access-control-allow-origin" not in answer.headers


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    path, made = tmp_path_factory.mktemp("tokens") / "tokens.toml", {}
    for name, kind, role in (
        ("viewer", EntryKind.HEADER, Role.VIEWER),
        ("annotator", EntryKind.HEADER, Role.ANNOTATOR),
        ("path", EntryKind.PATH, Role.ANNOTATOR),
    ):
        made[name] = new_token()
        add_entry(path, NewEntry(name, kind, name, "clinic-a", role, None), key=token_digest(made[name]))
    return {"file": str(path), **made}


@pytest.fixture(scope="module")
def guarded(triton: LocalTriton, tokens: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    certificates = write_certificates(tmp_path_factory.mktemp("certificates") / "pem", "localhost", "127.0.0.1")
    with running_gateway(
        triton_url=triton.address,
        http_port=0,
        https_port=0,
        tls_cert_file=certificates.certificate,
        tls_key_file=certificates.key,
        auth="tokens",
        tokens_file=tokens["file"],
        path_tokens=True,
        http_origins=PAGE,
    ) as gateway:
        yield gateway


def test_callers_prove_who_they_are(guarded: Gateway, tokens: dict[str, str], tmp_path: Path) -> None:
    site = HttpSite.of(guarded)
    for headers, path, code in (
        ({}, "/auth/", 200),
        ({}, "/info/", 401),
        ({"authorization": "Bearer x"}, "/info/", 401),
        ({"authorization": f"Bearer {tokens['path']}"}, "/info/", 401),
        ({"authorization": f"Bearer {tokens['viewer']}"}, "/info/", 200),
    ):
        answer = site.get(path, headers=headers)
        assert answer.status_code == code, answer.text
        if code == 401:
            assert answer.headers["www-authenticate"] == "Bearer"
    noisy_volume((8, 9, 10)).write(tmp_path / "a.nrrd")
    files = {"files": ("a.nrrd", (tmp_path / "a.nrrd").read_bytes())}
    refused = site.request("PUT", "/session/", files=files, headers={"authorization": f"Bearer {tokens['viewer']}"})
    assert (refused.status_code, refused.json()["reason"]) == (403, "PERMISSION_DENIED")
    # 3D Slicer has no field for tokens: they are in the address.
    in_path = HttpSite.of(guarded, f"/t/{tokens['path']}/monailabel")
    session = in_path.open_session(tmp_path / "a.nrrd")
    assert in_path.get(f"/session/{session}").json()["name"] == session


def test_callers_of_aiaa_prove_it_in_the_address(guarded: Gateway, tokens: dict[str, str]) -> None:
    # None of its clients sends a header; they show the body of an error as it is.
    site = HttpSite.of(guarded, "/aiaa")
    refused = site.get("/v1/models")
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert (set(refused.json()), refused.json()["error"]["type"]) == ({"error", "success"}, "Unauthenticated")
    viewer = {"authorization": f"Bearer {tokens['viewer']}"}
    for method, path in (("POST", "/v1/mask2polygon"), ("PUT", "/session/"), ("GET", "/admin/model/annotation")):
        answer = site.request(method, path, headers=viewer)
        assert (answer.status_code, answer.json()["error"]["type"]) == (403, "PermissionDenied")
    for path in ("/v1/models", "/v1/v1/models/", "/session/x"):
        answer = HttpSite.of(guarded, f"/t/{tokens['path']}/aiaa").get(path)
        assert answer.status_code == (404 if "session" in path else 200)


def test_a_wrong_token_in_the_address_is_refused_as_the_doors_clients_read_it(
    triton: LocalTriton, tokens: dict[str, str]
) -> None:
    with running_gateway(
        triton_url=triton.address, http_port=0, auth="tokens", tokens_file=tokens["file"], path_tokens=True
    ) as gateway:
        aiaa, rest, snap = (
            HttpSite.of(gateway, f"/t/wrong/{name}").get(path)
            for name, path in (("aiaa", "/v1/models"), ("api/v1", "/models"), ("itksnap", "/status"))
        )
    assert {answer.status_code for answer in (aiaa, rest, snap)} == {401}
    assert aiaa.json()["error"]["type"] == "Unauthenticated"
    assert rest.json()["type"] == "urn:sixpoint:error:UNAUTHENTICATED"
    assert snap.text.startswith("the credentials of the call are not valid")


def test_calls_over_connect_need_the_roles_of_grpc(guarded: Gateway, tokens: dict[str, str]) -> None:
    site, unary = HttpSite.of(guarded, ""), 0
    for path, role in ROLES.items():
        for name, granted in (("viewer", Role.VIEWER), ("annotator", Role.ANNOTATOR)):
            headers = {"authorization": f"Bearer {tokens[name]}"}
            answer = site.request("POST", path, json={"frob": 1}, headers=headers)
            if answer.status_code != 404:
                unary += 1
                assert answer.status_code == (400 if granted >= role else 403), (path, name)
    assert unary > 40
    unknown = site.request("POST", "/sixpoint.v1.ModelService/ListModels", json={})
    assert (unknown.status_code, unknown.json()["code"]) == (401, "unauthenticated")


def test_listed_pages_may_call(guarded: Gateway, tokens: dict[str, str]) -> None:
    site = HttpSite.of(guarded)
    asked = {"origin": PAGE, "access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    assert site.request("OPTIONS", "/info/", headers=asked).headers["access-control-allow-origin"] == PAGE
    answer = site.get("/info/", headers={"origin": PAGE, "authorization": f"Bearer {tokens['viewer']}"})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, PAGE)
    exposed = answer.headers["access-control-expose-headers"].split(", ")
    assert {"etag", "sixpoint-box", "sixpoint-sha256"} <= set(exposed)
    wanted = {"access-control-request-method": "PATCH", "access-control-request-headers": "if-match, sixpoint-image"}
    allowed = HttpSite.of(guarded, "/api/v1").request("OPTIONS", "/sessions/x", headers={**asked, **wanted})
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, PAGE)
    asked["origin"] = "https://evil.example"
    assert "access-control-allow-origin" not in site.request("OPTIONS", "/info/", headers=asked).headers


def test_https_takes_the_certificate_of_the_other_port(guarded: Gateway) -> None:
    settings = guarded._settings
    assert settings.tls_cert_file is not None
    context = ssl.create_default_context(cafile=str(settings.tls_cert_file.parent / "ca.pem"))
    url = f"https://localhost:{guarded.http_ports['https']}/monailabel/auth/"
    assert httpx.get(url, verify=context, trust_env=False).json()["enabled"]


def test_http_without_tls_is_for_this_machine(tokens: dict[str, str], tmp_path: Path) -> None:
    pem = write_certificates(tmp_path / "pem", "localhost")
    settings: dict[str, Any] = {"tls_cert_file": pem.certificate, "tls_key_file": pem.key}
    with (
        pytest.raises(InvalidArgument, match="SIXPOINT_HTTPS_PORT"),
        running_gateway(
            ready=False, http_port=0, host="0.0.0.0", auth="tokens", tokens_file=tokens["file"], **settings
        ),
    ):
        pass


def test_a_slow_body_ends(triton: LocalTriton) -> None:
    with (
        running_gateway(triton_url=triton.address, http_port=0, upload_idle_seconds=0.3) as gateway,
        socket.create_connection(("127.0.0.1", gateway.http_ports["http"]), timeout=20) as slow,
    ):
        slow.sendall(
            b"PUT /monailabel/session/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
            b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
        )
        answer = b"".join(iter(lambda: slow.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"SIXPOINT_UPLOAD_IDLE_SECONDS" in answer
