"""``sixpoint doctor --http`` at real gateways: every door, with and without tokens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.authentication.token_editing import NewEntry, add_entry, new_token, token_digest
from gateway.authentication.token_file import EntryKind
from gateway.core.access import Role
from gateway.server import Gateway
from gateway.triton.local.server import LocalTriton
from sixpoint.cli.doctor import Finding, examine_http
from sixpoint.cli.doctor.http_doors import DOORS
from tests.gateway.http.sites import HttpSite
from tests.support.orthanc import Orthanc
from tests.support.servers import running_gateway


def test_every_door_works(http_gateway: Gateway) -> None:
    url = HttpSite.of(http_gateway, "").url
    findings = list(examine_http(url))
    assert [finding for finding in findings if not finding.well] == []
    doors = {finding.what: finding.seen for finding in findings if finding.what.startswith("door ")}
    assert len(doors) == len(HttpSite.of(http_gateway, "").get("/").text.splitlines()) - 1
    for name in DOORS.keys() & {what.removeprefix("door ") for what in doors}:
        # This gateway has no OHIF.
        assert ("annotation" in doors[f"door {name}"]) == (name != "ohif")
        typed = f"{url}/{name}/annotation" if name == "nninteractive" else f"{url}/{name}/"
        assert all(finding.well for finding in examine_http(typed)) == (name != "ohif")


def test_an_address_for_nninteractive_names_a_model(http_gateway: Gateway) -> None:
    url = HttpSite.of(http_gateway, "").url
    for typed, seen in (("", "the name of a model is missing"), ("/liver", "no model liver")):
        finding = last(f"{url}/nninteractive{typed}")
        assert (finding.what, finding.well, seen in finding.seen) == ("address", False, True), finding
        assert f"{url}/nninteractive/annotation" in finding.advice


def test_ohif_and_the_server_behind_it(triton: LocalTriton, orthanc: Orthanc, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<html></html>")
    with running_gateway(triton_url=triton.address, http_port=0, ohif_folder=tmp_path) as gateway:
        for path in ("ohif/", "proxy/dicom", "monailabel/proxy/dicom"):
            finding = last(f"{HttpSite.of(gateway, '').url}/{path}")
            assert (finding.what, "SIXPOINT_DICOMWEB_URL" in finding.seen) == ("DICOMweb", True), finding
    with running_gateway(
        triton_url=triton.address, http_port=0, ohif_folder=tmp_path, dicomweb_url=orthanc.url
    ) as gateway:
        for path in ("ohif/", "proxy/dicom", "monailabel/proxy/dicom"):
            finding = last(f"{HttpSite.of(gateway, '').url}/{path}")
            assert (finding.what, finding.well) == ("DICOMweb", True), finding


def test_other_ports_of_a_gateway_are_recognised(http_gateway: Gateway, triton: LocalTriton) -> None:
    for address in (f"127.0.0.1:{http_gateway.port}", triton.address):
        *_, last = examine_http(f"http://{address}")
        assert (last.what, last.well, "50051" in last.advice) == ("gateway", False, True), last


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    path = tmp_path_factory.mktemp("tokens") / "tokens.toml"
    made = {"header": new_token(), "path": new_token(), "file": str(path)}
    for name, kind in (("header", EntryKind.HEADER), ("path", EntryKind.PATH)):
        add_entry(path, NewEntry(name, kind, name, "clinic-a", Role.VIEWER, None), key=token_digest(made[name]))
    return made


@pytest.fixture(scope="module")
def guarded(triton: LocalTriton, tokens: dict[str, str]) -> Iterator[str]:
    options = {"auth": "tokens", "tokens_file": tokens["file"], "path_tokens": True}
    with running_gateway(triton_url=triton.address, http_port=0, **options) as gateway:  # type: ignore[arg-type]
        yield HttpSite.of(gateway, "").url


def last(url: str) -> Finding:
    *_, finding = examine_http(url)
    return finding


def test_tokens(guarded: str, tokens: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    missing = last(f"{guarded}/monailabel")
    assert (missing.what, missing.well, missing.seen.startswith("none is set")) == ("token", False, True)
    assert f"{guarded}/t/TOKEN/monailabel" in missing.advice
    assert last(f"{guarded}/t/{tokens['path']}/monailabel") == Finding(
        "door monailabel", True, last(f"{guarded}/t/{tokens['path']}/monailabel").seen
    )
    for wrong in (tokens["header"], "sxp_x"):
        refused = last(f"{guarded}/t/{wrong}/monailabel")
        assert (refused.what, refused.well, "token in the path" in refused.seen) == ("token", False, True)
        assert wrong not in repr(refused)
    monkeypatch.setenv("SIXPOINT_TOKEN", tokens["header"])
    assert last(f"{guarded}/monailabel").well
    assert last(f"{guarded}/t/{tokens['path']}/monailabel").well
    monkeypatch.setenv("SIXPOINT_TOKEN", tokens["path"])
    refused = last(f"{guarded}/monailabel")
    assert (refused.what, refused.well, "does not accept it" in refused.seen) == ("token", False, True)
