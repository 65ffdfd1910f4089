"""``sixpoint doctor`` explains tokens, and never prints one."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sixpoint import errors
from sixpoint.cli.doctor import Finding, examine
from sixpoint.client.tokens import LoginFile, Token
from tests.sixpoint.client.fake_gateway import serving
from tests.sixpoint.client.tokens.devices import log_in
from tests.sixpoint.client.tokens.guarded_gateway import GuardedGateway
from tests.sixpoint.client.tokens.misbehaving_issuer import http_server
from tests.support.oidc import OidcProvider

TOKEN = "sxp_5ecret"


@pytest.fixture
def guarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GuardedGateway]:
    """A gateway that takes one token, and a folder of settings without logins."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    gateway = GuardedGateway()  # type: ignore[abstract]
    gateway.accepts = lambda name, token: token == TOKEN
    with serving(gateway):
        yield gateway


def found(server: str, what: str) -> Finding:
    """The finding of this name; there is one. No finding shows a token."""
    findings = list(examine(server))
    assert not re.search(r"sxp_|eyJ", repr(findings))
    (finding,) = (finding for finding in findings if finding.what == what)
    return finding


def jwt(**claims: object) -> str:
    parts = (json.dumps(part).encode() for part in ({"alg": "RS256"}, claims))
    return ".".join([*(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts), "signature"])


def test_a_token_that_is_missing(guarded: GuardedGateway) -> None:
    finding = found(guarded.address, "token")
    assert finding == Finding(
        "token",
        False,
        "none is set, and the gateway asks for one (the token is not valid)",
        "Name a file that holds your token with SIXPOINT_TOKEN_FILE, or log in: sixpoint login -s " + guarded.address,
    )


def test_nothing_is_said_where_none_is_needed(guarded: GuardedGateway) -> None:
    guarded.accepts = lambda name, token: True
    assert "token" not in {finding.what for finding in examine(guarded.address)}


def test_a_token_that_is_accepted(guarded: GuardedGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "token").chmod(0o600)
    monkeypatch.setenv("SIXPOINT_TOKEN_FILE", str(tmp_path / "token"))
    seen = "of SIXPOINT_TOKEN_FILE; it does not say until when it is valid"
    assert found(guarded.address, "token") == Finding("token", True, seen)
    assert found(guarded.address, "gateway") == Finding("gateway", True, "running and serving")
    (tmp_path / "token").chmod(0o644)
    finding = found(guarded.address, "token")
    assert (finding.well, finding.seen) == (True, seen)
    assert finding.advice.startswith("The file of SIXPOINT_TOKEN_FILE has the mode 0644: every user")


@pytest.mark.parametrize(
    ("claims", "well", "seen"),
    [
        ({"exp": -1e9}, False, r"it expired at .* UTC, 11574 days ago"),
        ({"exp": -200.0}, False, r"it expired at .* UTC, 3 min ago"),
        ({"exp": 7300.0, "iat": 0.0}, True, r"valid until .* UTC, for another 2 h"),
        ({"iat": 310.0, "exp": 910.0}, False, r"it is valid only from .* UTC, in 5 min"),
        ({"nbf": 100.0, "exp": 910.0}, False, r"it is valid only from .* UTC, in \d+ s"),
        ({"exp": "soon", "iat": True, "nbf": 1e300}, True, r"it does not say until when it is valid"),
    ],
)
def test_the_times_of_a_token(
    guarded: GuardedGateway,
    claims: dict[str, object],
    well: bool,
    seen: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    guarded.accepts = lambda name, token: True
    now = time.time()
    # Seconds from now.
    times = {name: now + value for name, value in claims.items() if isinstance(value, float)}
    monkeypatch.setenv("SIXPOINT_TOKEN", jwt(**claims | times))
    finding = found(guarded.address, "token")
    assert finding.well is well
    assert re.fullmatch(f"of SIXPOINT_TOKEN; {seen}", finding.seen)
    assert well or "clock" in finding.advice


def test_a_token_that_the_gateway_does_not_accept(guarded: GuardedGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIXPOINT_TOKEN", "sxp_other")
    good, refused = (finding for finding in examine(guarded.address) if finding.what == "token")
    assert good.well
    assert not refused.well
    assert refused.seen == "the gateway does not accept it (the token is not valid)"


@pytest.mark.parametrize(
    ("token", "file", "server", "seen"),
    [
        ("sxp_a", "/nowhere", "", "SIXPOINT_TOKEN and SIXPOINT_TOKEN_FILE are both set; unset one of them"),
        ("sxp_ä", "", "", "SIXPOINT_TOKEN has characters that cannot be sent"),
        ("", "/nowhere", "", "SIXPOINT_TOKEN_FILE: the file cannot be read (No such file or directory)"),
        ("sxp_a", "", "ipv4:192.0.2.1:50051", "a token would travel to ipv4:192.0.2.1:50051 unencrypted"),
    ],
)
def test_a_token_that_cannot_be_sent(
    guarded: GuardedGateway, token: str, file: str, server: str, seen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIXPOINT_TOKEN", token)
    monkeypatch.setenv("SIXPOINT_TOKEN_FILE", file)
    finding = found(server or guarded.address, "token")
    assert not finding.well
    assert finding.seen.startswith(seen)
    assert guarded.headers == []


def test_what_a_person_may_not_do(guarded: GuardedGateway) -> None:
    guarded.accepts = lambda name, token: True
    guarded.failures["ListSessions"] = errors.PermissionDenied("this call needs the role viewer, and you have no role")
    finding = found(guarded.address, "roles")
    assert (finding.well, finding.seen) == (False, "this call needs the role viewer, and you have no role")


def test_a_login(guarded: GuardedGateway, oidc_provider: OidcProvider) -> None:
    guarded.accepts = lambda name, token: True
    login = log_in(oidc_provider, guarded.address)
    finding = found(guarded.address, "token")
    assert finding.well
    assert re.fullmatch(
        f"of the login at {oidc_provider.issuer}; valid until .* UTC, for another \\d min", finding.seen
    )
    LoginFile(guarded.address).save(replace(login, expires=time.time() - 1, refresh_token=Token("other")))
    finding = found(guarded.address, "token")
    assert not finding.well
    assert finding.seen.startswith("the login cannot be used: the issuer")
    assert "log in again: sixpoint login" in finding.seen


def test_a_clock_that_differs_from_the_issuers(guarded: GuardedGateway, oidc_provider: OidcProvider) -> None:
    guarded.accepts = lambda name, token: True
    login = log_in(oidc_provider, guarded.address)
    with http_server() as issuer:
        content = json.dumps({"issuer": issuer.url, "token_endpoint": f"{issuer.url}/token"}).encode()
        issuer.answer = lambda path: (200, {}, content)
        issuer.date = time.time() + 600
        LoginFile(guarded.address).save(replace(login, issuer=issuer.url))
        finding = found(guarded.address, "clock")
        assert (finding.well, finding.seen) == (False, "this machine is 9 min behind the issuer")
        issuer.date = time.time() - 600
        assert found(guarded.address, "clock").seen == "this machine is 10 min ahead of the issuer"
    finding = found(guarded.address, "issuer")
    assert finding.well
    assert "it does not answer now" in finding.seen
