"""Issuers that misbehave: they get no token, and no error holds what they answered or were sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from sixpoint.client.tokens import Token
from sixpoint.client.tokens.device_flow import DeviceCode, begin_login, wait_for_login
from sixpoint.client.tokens.issuer import Issuer
from sixpoint.errors import InvalidArgument, SixpointError, Unauthenticated, Unavailable
from tests.sixpoint.client.tokens.devices import web
from tests.sixpoint.client.tokens.misbehaving_issuer import HttpServer, http_server
from tests.sixpoint.client.tokens.talkative import everything
from tests.support.oidc import OidcProvider

SECRET = Token("r3fr35h-t0k3n")
"""A refresh token, or a code of a login."""


@pytest.fixture
def server() -> Iterator[HttpServer]:
    """A server that answers as a test says."""
    with http_server() as made:
        yield made


def metadata(server: HttpServer, **changes: object) -> bytes:
    content = {
        "issuer": server.url,
        "token_endpoint": f"{server.url}/token",
        "device_authorization_endpoint": f"{server.url}/device",
    } | changes
    return json.dumps({name: value for name, value in content.items() if value is not None}).encode()


def issuer(url: str) -> Issuer:
    return Issuer(url=url, token_url=f"{url}/token", device_url=f"{url}/device", revocation_url="", scopes=frozenset())


def test_the_metadata_of_a_real_issuer_are_read(oidc_provider: OidcProvider) -> None:
    found = Issuer.discover(f"{oidc_provider.issuer}/.well-known/openid-configuration", web=web())
    assert found.url == oidc_provider.issuer
    assert found.token_url == f"{oidc_provider.issuer}/token"
    assert found.device_url == f"{oidc_provider.issuer}/device/auth"
    assert found.scopes == {"openid", "offline_access"}


@pytest.mark.parametrize(
    "url",
    [
        "http://sso.hospital.example",
        "ftp://sso.hospital.example",
        "sso.hospital.example",
        "file:///etc/passwd",
        "https://me:password@sso.hospital.example",
        "https://sso.hospital.example:x",
        "https://sso.hospital.example/ a",
        "https://",
        "",
    ],
)
def test_an_issuer_is_asked_over_https_only(url: str) -> None:
    with pytest.raises(InvalidArgument, match=r"(cannot be asked for tokens: write https://HOST/PATH|is no URL)"):
        Issuer.discover(url, web=web())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"issuer": "https://other.example"}, "says that its name is 'https://other.example'; use that name"),
        ({"token_endpoint": None}, "names no token_endpoint"),
        ({"token_endpoint": "http://evil.example/token"}, "token_endpoint: .* cannot be asked for tokens"),
        ({"device_authorization_endpoint": "file:///dev"}, "device_authorization_endpoint: .* cannot be asked"),
    ],
)
def test_metadata_that_cannot_be_used_are_refused(server: HttpServer, changes: dict[str, object], message: str) -> None:
    server.answer = lambda path: (200, {}, metadata(server, **changes))
    with pytest.raises(Unavailable, match=message):
        Issuer.discover(server.url, web=web())


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((404, {}, b"<html>"), "and not in JSON"),
        ((404, {}, b"{}"), "answers 404 for /.well-known/openid-configuration; check the address of the issuer"),
        ((200, {}, b"<html>"), "gives no usable answer: its answer is not JSON"),
        ((200, {}, b"[" * 10**6), "gives no usable answer: its answer is not JSON"),
        ((200, {}, b"[]"), "and not in JSON"),
        ((200, {}, b" " * (2**20 + 1)), "gives no usable answer: it is longer than 1048576 bytes"),
        ((302, {"Location": "/elsewhere"}, b""), "to elsewhere, which is not followed"),
    ],
)
def test_an_answer_that_is_none_is_refused(server: HttpServer, answer: Any, message: str) -> None:
    server.answer = lambda path: answer
    with pytest.raises(Unavailable, match=message):
        Issuer.discover(server.url, web=web())
    assert len(server.received) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_refresh_token_is_not_sent_on_to_another_server(server: HttpServer, status: int) -> None:
    with http_server() as thief:
        server.answer = lambda path: (status, {"Location": f"{thief.url}/token"}, b"{}")
        with pytest.raises(Unavailable, match="redirects /token to elsewhere") as caught:
            issuer(server.url).renew(SECRET, client_id="c", resource="", web=web())
        assert thief.received == []
    assert SECRET in server.received[0][1]
    assert SECRET not in everything(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        (200, {}, f'{{"access_token": "{SECRET}"}}'.encode()),
        (200, {}, f'{{"access_token": "{SECRET}\\n", "token_type": "mac"}}'.encode()),
        (200, {}, f'{{"access_token": "{SECRET} {SECRET}", "token_type": "Bearer"}}'.encode()),
        (200, {}, f'{{"access_token": "{SECRET}'.encode()),
        (400, {}, f'{{"error": "{SECRET}", "error_description": "no {SECRET}"}}'.encode()),
        (400, {}, f'{{"error": "invalid_grant", "error_description": "no {SECRET}"}}'.encode()),
        (500, {}, SECRET.encode()),
    ],
)
def test_no_error_repeats_what_an_issuer_answers(server: HttpServer, answer: Any) -> None:
    server.answer = lambda path: answer
    with pytest.raises(SixpointError) as caught:
        issuer(server.url).renew(SECRET, client_id="c", resource="", web=web())
    assert SECRET not in str(caught.value)
    chain: list[BaseException | None] = [caught.value]
    while part := chain.pop():
        assert SECRET not in repr(part) + repr(vars(part))
        chain += [part.__context__]


class ScriptedIssuer:
    """Answers the questions of a login one after the other, at a clock of its own; in place of :class:`Web`."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.now = 0.0
        self.asked_at: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def post(self, url: str, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        self.asked_at.append(self.now)
        answer = self.answers.pop(0) if self.answers else "authorization_pending"
        if answer == "away":
            raise Unavailable("away")
        if answer == "token":
            return 200, {"access_token": "sxp_x", "token_type": "bearer", "expires_in": 60}
        return (503, {}) if answer == "busy" else (400, {"error": answer})

    def wait(self) -> str:
        code = DeviceCode(
            secret=SECRET, user_code="AB-CD", url="https://x", complete_url="", expires_s=100, interval_s=5
        )
        tokens = wait_for_login(
            issuer("https://sso.example"),
            code,
            client_id="c",
            resource="",
            web=self,  # type: ignore[arg-type]
            sleep=self.sleep,
            clock=lambda: self.now,
        )
        return tokens.access


@pytest.mark.parametrize(
    ("answers", "asked_at"),
    [
        (["token"], [5]),
        (["authorization_pending", "token"], [5, 10]),
        (["slow_down", "slow_down", "token"], [5, 15, 30]),
        (["away", "away", "token"], [5, 15, 35]),
        (["busy", "token"], [5, 10]),
    ],
)
def test_an_issuer_is_asked_as_often_as_it_wants(answers: list[str], asked_at: list[float]) -> None:
    script = ScriptedIssuer(*answers)
    assert script.wait() == "sxp_x"
    assert script.asked_at == asked_at


@pytest.mark.parametrize(
    ("answers", "message", "count"),
    [
        ([], "nobody logged in in time; begin again: sixpoint login", 19),
        (["expired_token"], "nobody logged in in time; begin again: sixpoint login", 1),
        (["access_denied"], "the login was refused at the issuer's page", 1),
        (["invalid_client"], "the issuer refuses the login: invalid_client", 1),
        ([SECRET], "the issuer refuses the login: unknown error", 1),
    ],
)
def test_a_login_that_does_not_come_ends(answers: list[str], message: str, count: int) -> None:
    script = ScriptedIssuer(*answers)
    with pytest.raises(Unauthenticated) as caught:
        script.wait()
    assert caught.value.message == message
    assert len(script.asked_at) == count


def test_a_person_who_refuses_at_the_real_provider_ends_the_login(oidc_provider: OidcProvider) -> None:
    real = Issuer.discover(oidc_provider.issuer, web=web())
    code = begin_login(real, client_id=oidc_provider.client_id, scope="", resource="", audience="", web=web())
    oidc_provider.deny(code.complete_url)
    with pytest.raises(Unauthenticated, match="refused at the issuer's page"):
        wait_for_login(real, code, client_id=oidc_provider.client_id, resource="", web=web(), sleep=lambda _: None)


def test_a_wrong_client_is_refused_in_the_issuers_words(oidc_provider: OidcProvider) -> None:
    real = Issuer.discover(oidc_provider.issuer, web=web())
    with pytest.raises(InvalidArgument, match=r"refuses the login: invalid_client \(client authentication failed\)$"):
        begin_login(real, client_id="nobody", scope="", resource="", audience="", web=web())


def test_an_issuer_without_the_device_flow_is_named(server: HttpServer) -> None:
    server.answer = lambda path: (200, {}, metadata(server, device_authorization_endpoint=None))
    found = Issuer.discover(server.url, web=web())
    with pytest.raises(InvalidArgument, match="has no device flow"):
        begin_login(found, client_id="c", scope="", resource="", audience="", web=web())


def test_what_a_terminal_would_obey_is_not_printed(server: HttpServer) -> None:
    content = {"device_code": SECRET, "user_code": "\x1b[2JAB-\x07CD", "verification_uri": f"{server.url}/\x1b]0;x"}
    server.answer = lambda path: (200, {}, json.dumps(content | {"expires_in": 60}).encode())
    with pytest.raises(Unavailable, match="did not answer as RFC 8628 has it"):
        begin_login(issuer(server.url), client_id="c", scope="", resource="", audience="", web=web())
    content["verification_uri"] = f"{server.url}/device"
    code = begin_login(issuer(server.url), client_id="c", scope="", resource="", audience="", web=web())
    assert code.user_code == "[2JAB-CD"
    assert SECRET not in repr(code)
