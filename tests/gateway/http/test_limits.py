"""What callers over HTTP may do in a time, and what strangers leave in the logs."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from gateway.authentication.token_editing import NewEntry, add_entry, new_token, token_digest
from gateway.authentication.token_file import EntryKind
from gateway.core.access import AuditEntry, Role
from gateway.triton.local.server import LocalTriton
from sixpoint import Client, Retry
from sixpoint.errors import ResourceExhausted
from tests.gateway.http.sites import HttpSite
from tests.support.images import noisy_volume
from tests.support.servers import running_gateway


def test_uploads_and_segmentations_are_limited_together_with_those_of_grpc(triton: LocalTriton, tmp_path: Path) -> None:
    model, other = "segmentation_hippocampus", noisy_volume((9, 9, 9))
    noisy_volume().write(tmp_path / "a.nrrd")
    content = (tmp_path / "a.nrrd").read_bytes()
    with (
        running_gateway(
            triton_url=triton.address,
            http_port=0,
            owner_upload_bytes_per_second=100,
            owner_segmentations_per_minute=1,
        ) as gateway,
        Client(f"127.0.0.1:{gateway.port}", retry=Retry.none()) as client,
    ):
        site = HttpSite.of(gateway)
        session = site.open_session(tmp_path / "a.nrrd")
        refused = site.request("PUT", "/session/", files={"files": ("a.nrrd", content)})
        assert (refused.status_code, refused.json()["reason"]) == (429, "RESOURCE_EXHAUSTED")
        assert "SIXPOINT_OWNER_UPLOAD_BYTES_PER_SECOND" in refused.json()["detail"]
        # It was held back: whoever is refused at once asks again at once.
        assert refused.elapsed.total_seconds() >= 1.0
        with pytest.raises(ResourceExhausted, match="SIXPOINT_OWNER_UPLOAD_BYTES_PER_SECOND"):
            client.upload(other)
        assert site.infer(model, {}, session_id=session).status_code == 200
        refused = site.infer(model, {}, session_id=session)
        assert "SIXPOINT_OWNER_SEGMENTATIONS_PER_MINUTE" in refused.json()["detail"]
        with pytest.raises(ResourceExhausted, match="SIXPOINT_OWNER_SEGMENTATIONS_PER_MINUTE"):
            client.segment(noisy_volume(), model=model)


def test_refused_calls_are_noted_for_who_made_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token, noted = new_token(), list[AuditEntry]()
    entry = NewEntry("vera", EntryKind.HEADER, "vera", "north", Role.VIEWER, None)
    add_entry(tmp_path / "tokens.toml", entry, key=token_digest(token))
    with running_gateway(
        ready=False, triton_url="127.0.0.1:1", http_port=0, auth="tokens", tokens_file=tmp_path / "tokens.toml"
    ) as gateway:
        monkeypatch.setattr(gateway._stores.audit, "note", noted.append)
        site, headers = HttpSite.of(gateway), {"authorization": f"Bearer {token}"}
        assert site.request("PUT", "/session/", headers=headers).status_code == 403
        assert site.get(f"/session/{'0' * 64}", headers=headers).json() is None
    assert [(each.principal.tenant, each.principal.subject, each.object, each.outcome) for each in noted] == [
        ("north", "vera", "PUT /monailabel/session/", "PERMISSION_DENIED"),
        ("north", "vera", "GET /monailabel/session/{session_id}", "IMAGE_NOT_FOUND"),
    ]


def test_strangers_do_not_fill_the_logs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_entry(
        tmp_path / "tokens.toml",
        NewEntry("ada", EntryKind.PATH, "ada", "north", Role.ANNOTATOR, None),
        key=token_digest(new_token()),
    )
    noted: list[AuditEntry] = []
    caplog.set_level(logging.INFO)
    with running_gateway(
        ready=False,
        triton_url="127.0.0.1:1",
        http_port=0,
        auth="tokens",
        tokens_file=tmp_path / "tokens.toml",
        path_tokens=True,
        owner_calls_per_second=0.5,
    ) as gateway:
        assert gateway._stores.audit is not None
        monkeypatch.setattr(gateway._stores.audit, "note", noted.append)
        assert {HttpSite.of(gateway).get("/auth/").status_code for _ in range(12)} == {200}
        codes = [HttpSite.of(gateway).get("/info/").status_code for _ in range(12)]
        codes += [HttpSite.of(gateway, "/t/wrong").get("/info/").status_code for _ in range(12)]
    assert {401, 429} == set(codes)
    assert len(noted) == codes.count(401)
    assert not [record for record in caplog.records if record.message == "call"]
