"""The doctor on identity: exposure, the file of tokens, the issuer."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.cli import app
from tests.gateway.doctor.doctor_process import findings_of, only
from tests.support.oidc import OidcProvider


async def test_a_gateway_that_would_believe_everybody_is_said(tmp_path: Path) -> None:
    exposed = only(await findings_of(state_folder=tmp_path, host="0.0.0.0"), "identity")
    assert not exposed.well
    assert "SIXPOINT_AUTH=none believes everybody" in exposed.seen
    wanted = only(await findings_of(state_folder=tmp_path, host="0.0.0.0", insecure=True), "identity")
    assert wanted.well
    assert "SIXPOINT_INSECURE is set" in wanted.advice
    here = only(await findings_of(state_folder=tmp_path), "identity")
    assert (here.well, here.advice) == (True, "")


async def test_the_file_of_tokens_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    settings: dict[str, Any] = {"state_folder": tmp_path, "auth": "tokens", "tokens_file": path}
    missing = only(await findings_of(**settings), "file of tokens")
    assert not missing.well
    assert "`gateway token new`" in missing.advice
    environment = {"SIXPOINT_TOKENS_FILE": str(path)}
    assert CliRunner().invoke(app, ["token", "new", "alice"], env=environment).exit_code == 0
    good = only(await findings_of(**settings), "file of tokens")
    assert (good.well, good.seen) == (True, "entries that are valid: 1, expired: 0")
    path.chmod(0o666)
    assert "others may write to it" in only(await findings_of(**settings), "file of tokens").seen
    path.chmod(0o600)
    path.write_text(re.sub(r"(?m)^expires = .*$", "expires = 2020-01-01", path.read_text()))
    ended = only(await findings_of(**settings), "file of tokens")
    assert not ended.well
    assert "Nobody can call" in ended.advice
    path.write_text("[half")
    assert "SIXPOINT_TOKENS_FILE: " in only(await findings_of(**settings), "file of tokens").seen


async def test_the_issuer_is_asked_for_its_keys(oidc_provider: OidcProvider, tmp_path: Path) -> None:
    pytest.importorskip("jwt")
    settings: dict[str, Any] = {"state_folder": tmp_path, "auth": "oidc", "oidc_audience": oidc_provider.audience}
    found = await findings_of(oidc_issuer=oidc_provider.issuer, **settings)
    assert only(found, "issuer of tokens").well
    assert only(found, "clock of the issuer of tokens").well
    away = only(await findings_of(oidc_issuer="http://127.0.0.1:1", **settings), "issuer of tokens")
    assert not away.well
    assert "the issuer of tokens cannot be reached" in away.seen
