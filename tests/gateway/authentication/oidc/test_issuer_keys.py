"""The keys of an issuer: when they are fetched, while it is away, and from where they are not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from gateway.authentication.oidc import AccessTokens, IssuerDocuments, IssuerKeys, OidcMethod
from gateway.authentication.refusal import Refusal
from gateway.core.access import Credentials, Principal
from sixpoint.errors import InvalidArgument, Unavailable
from tests.support.certificates import Certificates, write_certificates
from tests.support.oidc import running_oidc_provider

EC_KEY = {
    "kty": "EC",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}


class Issuer:
    """Counts how often its keys are fetched; may be away."""

    def __init__(self) -> None:
        self.fetched = 0
        self.away = False
        self.slow = threading.Event()
        self.slow.set()
        self.keys: list[dict[str, Any]] = [EC_KEY | {"kid": "k1"}]
        self.now = 0.0

    def fetch(self) -> list[dict[str, Any]]:
        self.fetched += 1
        self.slow.wait(10)
        if self.away:
            raise Unavailable("the issuer is away")
        return list(self.keys)


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def keys(issuer: Issuer) -> IssuerKeys:
    return IssuerKeys(issuer.fetch, clock=lambda: issuer.now)


async def test_a_flood_of_invented_ids_makes_one_fetch_in_30_seconds(issuer: Issuer, keys: IssuerKeys) -> None:
    assert await keys.find("k1")
    for number in range(1000):
        assert await keys.find(f"invented {number}") is None
    assert issuer.fetched == 1
    issuer.now = 30.0
    await asyncio.gather(*(keys.find(f"invented {number}") for number in range(100)))
    assert issuer.fetched == 2


async def test_calls_at_once_wait_for_one_fetch_and_one_that_is_cancelled_stops_none(
    issuer: Issuer, keys: IssuerKeys
) -> None:
    issuer.slow.clear()
    calls = [asyncio.create_task(keys.find("k1")) for _ in range(20)]
    await asyncio.sleep(0.05)
    calls[0].cancel()
    issuer.slow.set()
    results = await asyncio.gather(*calls[1:])
    assert all(results)
    assert issuer.fetched == 1


async def test_a_new_key_is_found_at_once_if_the_issuer_was_not_asked_lately(issuer: Issuer, keys: IssuerKeys) -> None:
    assert await keys.find("k1")
    issuer.keys = [EC_KEY | {"kid": "k2"}]
    assert await keys.find("k2") is None
    issuer.now = 31.0
    before = keys.generation
    assert await keys.find("k2")
    assert await keys.find("k1") is None
    assert keys.generation == before + 1


async def test_keys_are_fetched_again_in_the_background(issuer: Issuer, keys: IssuerKeys) -> None:
    assert await keys.find("k1")
    issuer.keys = []
    issuer.now = 601.0
    issuer.slow.clear()
    # The call does not wait.
    assert await keys.find("k1")
    issuer.slow.set()
    while await keys.find("k1"):
        await asyncio.sleep(0.01)
    assert issuer.fetched == 2


async def test_while_the_issuer_is_away_its_keys_stay_valid_for_a_day(issuer: Issuer, keys: IssuerKeys) -> None:
    assert await keys.find("k1")
    issuer.away = True
    issuer.now = 23.9 * 3600
    assert await keys.find("k1")
    await asyncio.sleep(0.05)
    issuer.now = 24.1 * 3600
    with pytest.raises(Unavailable, match="cannot be reached, so that logins") as caught:
        await keys.find("k1")
    assert caught.value.retry_after == 30
    issuer.away = False
    issuer.now += 31
    assert await keys.find("k1")


async def test_an_issuer_that_was_never_there_is_asked_once_in_30_seconds(issuer: Issuer, keys: IssuerKeys) -> None:
    issuer.away = True
    for _ in range(50):
        with pytest.raises(Unavailable):
            await keys.find("k1")
    assert issuer.fetched == 1


async def test_keys_that_must_not_verify_signatures_are_left_out(issuer: Issuer, keys: IssuerKeys) -> None:
    weak = {"kty": "RSA", "n": "sXchbLuoFgeQ" * 8, "e": "AQAB"}
    issuer.keys = [
        EC_KEY | {"kid": "encryption", "use": "enc"},
        EC_KEY | {"kid": "other algorithm", "alg": "ES512"},
        EC_KEY | {"kid": 7},
        EC_KEY,
        EC_KEY | {"kid": "off the curve", "y": "AAAA"},
        weak | {"kid": "weak"},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "symmetric", "alg": "HS256"},
        {"kid": "nothing"},
        EC_KEY | {"kid": "well", "alg": "ES256", "use": "sig"},
    ]
    found = [key["kid"] for key in issuer.keys if isinstance(key.get("kid"), str) and await keys.find(key["kid"])]
    assert found == ["well"]


async def test_tokens_of_a_real_issuer_while_it_is_away_and_after_it_changed_its_keys() -> None:
    now = 0.0
    with running_oidc_provider() as provider:
        keys = IssuerKeys(IssuerDocuments(provider.issuer).keys, clock=lambda: now)
        oidc = OidcMethod(keys, AccessTokens(provider.issuer, provider.audience))

        async def ask(token: str) -> Principal | Refusal | None:
            return await oidc.identify(Credentials(authorization=f"Bearer {token}"))

        first, second = provider.mint("alice"), provider.mint("bob")
        assert isinstance(await ask(first), Principal)
        await asyncio.to_thread(provider.stop)
        now = 3600.0
        assert isinstance(await ask(second), Principal)
        await asyncio.sleep(0.1)
        await asyncio.to_thread(provider.rotate_keys)
        now += 31.0
        assert isinstance(await ask(provider.mint("alice")), Principal)
        # Of keys that are gone, also those that had been verified.
        assert await ask(first) == Refusal("key")


class Pages(BaseHTTPRequestHandler):
    """A web server with strange answers, by path."""

    def do_GET(self) -> None:
        base = f"http://{self.headers['host']}"
        name = self.path.split("/")[1]
        metadata: dict[str, object] = {"issuer": f"{base}/{name}", "jwks_uri": f"{base}/{name}/keys"}
        if self.path.endswith("/keys"):
            self.answer(json.dumps({"keys": "none"} if name == "nokeys" else {"keys": [EC_KEY]}).encode())
        elif name == "redirect":
            self.send_response(302)
            self.send_header("location", f"{base}/well/.well-known/openid-configuration")
            self.end_headers()
        elif name == "large":
            self.answer(b" " * (2**20 + 1))
        elif name == "slow":
            with contextlib.suppress(OSError):
                self.send_response(200)
                self.end_headers()
                for _ in range(100):
                    self.wfile.write(b" ")
                    time.sleep(0.1)
        else:
            changes: dict[str, dict[str, object]] = {
                "other": {"issuer": "https://other.example"},
                "plain": {"jwks_uri": "http://sso.example/keys"},
                "file": {"jwks_uri": "file:///etc/passwd"},
            }
            texts = {"list": b"[]", "html": b"<p>"}
            self.answer(texts.get(name) or json.dumps(metadata | changes.get(name, {})).encode())

    def answer(self, content: bytes) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def pages() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("other", "are another issuer's"),
        ("plain", "the jwks_uri .* begins with https://"),
        ("file", "the jwks_uri .* begins with https://"),
        ("nokeys", "publishes no keys"),
        ("redirect", "HTTP 302"),
        ("large", "more than 1 MiB"),
        ("list", "no object of JSON"),
        ("html", "no JSON"),
    ],
)
def test_documents_that_are_not_the_issuers_are_refused(pages: str, name: str, problem: str) -> None:
    assert IssuerDocuments(f"{pages}/well").keys() == [EC_KEY]
    with pytest.raises(Unavailable, match=problem):
        IssuerDocuments(f"{pages}/{name}").keys()


def test_an_issuer_that_dribbles_is_given_up(pages: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.authentication.oidc.documents._SECONDS", 0.3)
    began = time.monotonic()
    with pytest.raises(Unavailable, match="cannot be reached"):
        IssuerDocuments(f"{pages}/slow").keys()
    # Its answer takes ten seconds.
    assert time.monotonic() - began < 9


def test_an_address_of_an_issuer_is_encrypted() -> None:
    for url in (
        "http://sso.example",
        "sso.example",
        "",
        "file:///etc/passwd",
        "https://me:secret@sso.example",
        "https://[",
    ):
        with pytest.raises(InvalidArgument, match="SIXPOINT_OIDC_ISSUER is a URL that begins with https://") as caught:
            IssuerDocuments(url)
        assert "secret" not in caught.value.message
    with pytest.raises(Unavailable, match="cannot be reached"):
        IssuerDocuments("https://127.0.0.1:1").keys()


def test_the_certificate_of_an_issuer_is_checked(tmp_path: Path) -> None:
    ours: Certificates = write_certificates(tmp_path / "ours", "127.0.0.1")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(ours.certificate, ours.key)

    class Encrypted(Pages):
        def do_GET(self) -> None:
            base = f"https://{self.headers['host']}"
            keys = {"keys": [EC_KEY]} if self.path == "/keys" else {"issuer": base, "jwks_uri": f"{base}/keys"}
            self.answer(json.dumps(keys).encode())

    with ThreadingHTTPServer(("127.0.0.1", 0), Encrypted) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"https://127.0.0.1:{server.server_address[1]}"
        assert IssuerDocuments(url, authority=ours.authority).keys() == [EC_KEY]
        with pytest.raises(Unavailable, match=r"cannot be reached \(SSLCertVerificationError\)"):
            IssuerDocuments(url).keys()
        server.shutdown()
    with pytest.raises(InvalidArgument, match="SIXPOINT_OIDC_CA_FILE"):
        IssuerDocuments(url, authority=ours.key)
