"""Hostile callers of a whole gateway: each is refused with its code and its reason, and counted."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gateway.authentication.token_editing import new_token, remove_entry
from gateway.server import Gateway
from sixpoint import Client, Retry, TlsFiles
from sixpoint.errors import PermissionDenied, ResourceExhausted
from sixpoint.v1 import image_service_pb2 as image_pb
from sixpoint.v1 import image_service_pb2_grpc as image_grpc
from tests.gateway.server.identity.callers import Answer, Site, ask, metadata
from tests.support.images import noisy_volume
from tests.support.oidc import OidcProvider, running_oidc_provider

PROXY, WORKSTATION = "proxy.clinic.example", "ws2.clinic.example"


@dataclass(frozen=True)
class Open:
    """A gateway for tokens and logins, and what belongs to it."""

    site: Site
    gateway: Gateway
    provider: OidcProvider


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = Site(tmp_path_factory.mktemp("site"))
    for name in ("alice", "leaving"):
        site.token(name)
    for name in (WORKSTATION, "ws3.clinic.example"):
        site.admit(name)
    return site


@pytest.fixture(scope="module")
def opened(site: Site) -> Iterator[Open]:
    with (
        # These tests are one peer.
        pytest.MonkeyPatch.context() as patch,
        running_oidc_provider() as provider,
    ):
        patch.setattr("gateway.authentication.throttle._BURST", 1000)
        with site.serving(
            auth="tokens,oidc", oidc_issuer=provider.issuer, oidc_audience=provider.audience, status_port=0
        ) as gateway:
            yield Open(site, gateway, provider)


@pytest.fixture(scope="module")
def strict(site: Site) -> Iterator[Gateway]:
    """A gateway for certificates and for a proxy."""
    with site.serving(
        auth="tokens,mtls,proxy", proxy_names=PROXY, tls_client_ca_file=site.folder / "ca.pem"
    ) as gateway:
        yield gateway


def failures(opened: Open) -> dict[str, float]:
    """The metric of failed attempts, by kind."""
    url = f"http://127.0.0.1:{opened.gateway.status_ports['status']}/metrics"
    lines = urllib.request.urlopen(url, timeout=10).read().decode().splitlines()
    pairs = [line.split() for line in lines if line.startswith("sixpoint_failed_authentications_total{")]
    return {name.split('"')[1]: float(value) for name, value in pairs}


def encode(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def forged(provider: OidcProvider) -> list[tuple[str, str]]:
    """Tokens that the issuer did not sign as they are, and why they are refused."""
    token = provider.mint("alice")
    body, signature = token.split(".")[1:]
    header = jwt.get_unverified_header(token)
    claims = jwt.decode(token, options={"verify_signature": False})
    published = provider.keys()
    document = next(key for key in published if key["kid"] == header["kid"])
    public = jwt.PyJWK(document).key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    symmetric = f"{encode(header | {'alg': 'HS256'})}.{body}"
    mac = base64.urlsafe_b64encode(hmac.new(public, symmetric.encode(), hashlib.sha256).digest()).rstrip(b"=").decode()
    return [
        ("signature", f"{encode(header | {'alg': 'none'})}.{body}."),
        # HS256 with the public key as its secret.
        ("signature", f"{symmetric}.{mac}"),
        ("signature", f"{encode(header)}.{encode(claims | {'sub': 'root'})}.{signature}"),
        ("key", f"{encode(header | {'kid': 'invented'})}.{body}.{signature}"),
    ]


def test_those_with_valid_credentials_are_served(opened: Open) -> None:
    for credentials in (opened.site.by_name["alice"], opened.provider.mint("alice")):
        assert opened.site.ask(opened.gateway, metadata(credentials)) == Answer("OK")
        assert opened.site.ask(opened.gateway, metadata(credentials), ("sixpoint-owner", "alice")) == Answer("OK")
        answer = opened.site.ask(opened.gateway, metadata(credentials), ("sixpoint-owner", "bob"))
        assert (answer.code, answer.reason) == ("INVALID_ARGUMENT", "INVALID_ARGUMENT")


def test_forged_and_foreign_credentials_are_refused_counted_and_logged(
    opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    mint, now = opened.provider.mint, int(time.time())
    cases = forged(opened.provider)
    cases += [
        ("audience", mint(audience="account")),
        ("claims", mint(iss="https://evil.example")),
        ("expired", mint(lifetime_s=-60)),
        ("immature", mint(nbf=now + 120)),
        ("claims", mint(typ="ID", at_hash="x")),
        ("claims", mint(tenant=None)),
        ("unknown", new_token()),
        ("malformed", "a b"),
    ]
    before = failures(opened)
    with caplog.at_level(logging.INFO):
        for kind, token in cases:
            answer = opened.site.ask(opened.gateway, metadata(token))
            assert (answer.code, answer.reason) == ("UNAUTHENTICATED", "UNAUTHENTICATED"), kind
            assert "This gateway takes a token" in answer.text
            assert token not in answer.text
        assert opened.site.ask(opened.gateway).code == "UNAUTHENTICATED"
    after = failures(opened)
    expected = {kind: 0.0 for kind, _ in cases} | {"missing": 1.0}
    for kind, _ in cases:
        expected[kind] += 1
    assert {kind: after[kind] - before.get(kind, 0.0) for kind in expected} == expected
    # One line for each, and none more for the call.
    assert "call" not in [record.getMessage() for record in caplog.records]
    logged = [vars(record) for record in caplog.records if record.getMessage() == "authentication failed"]
    assert {record["kind"] for record in logged} <= expected.keys()
    assert {record["peer"] for record in logged} == {"127.0.0.1"}
    for _, token in cases:
        assert token not in caplog.text + str(logged)


def test_a_header_that_comes_twice_is_none(opened: Open) -> None:
    alice, bob = opened.provider.mint("alice"), opened.provider.mint("bob")
    for second in (alice, bob):
        answer = opened.site.ask(opened.gateway, metadata(alice), metadata(second))
        assert answer.code == "UNAUTHENTICATED"


def test_a_revoked_token_is_refused_on_a_connection_that_exists(opened: Open) -> None:
    token = opened.site.by_name["leaving"]
    with opened.site.channel(opened.gateway) as channel:
        assert ask(channel, metadata(token)) == Answer("OK")
        remove_entry(opened.site.tokens, "leaving")
        time.sleep(1.1)
        assert ask(channel, metadata(token)).code == "UNAUTHENTICATED"


def test_another_tenants_objects_are_not_found_and_a_role_is_needed(opened: Open) -> None:
    mint = opened.provider.mint
    tls = TlsFiles(ca_file=opened.site.folder / "ca.pem")
    address = f"https://127.0.0.1:{opened.gateway.port}"
    with Client(address, tls=tls, token=mint("alice")) as client:
        digest = client.upload(noisy_volume())
    with opened.site.channel(opened.gateway) as channel:
        stub: Any = image_grpc.ImageServiceStub(channel)

        def code(token: str) -> str:
            try:
                stub.GetImage(image_pb.GetImageRequest(digest=digest), metadata=[metadata(token)], timeout=20)
            except grpc.RpcError as failure:
                failed: Any = failure
                return str(failed.code().name)
            return "OK"

        assert code(mint("bob", tenant="clinic-a", roles=["viewer"])) == "OK"
        assert code(mint("alice", tenant="clinic-b", roles=["admin"])) == "NOT_FOUND"
        assert code(mint("alice", roles=["unknown"])) == "PERMISSION_DENIED"
    with (
        Client(address, tls=tls, token=mint("bob", roles=["viewer"])) as viewer,
        pytest.raises(PermissionDenied, match="this call needs the role annotator"),
    ):
        viewer.upload(noisy_volume(spacing=2.0))


def test_a_proxys_headers_count_only_from_the_proxy(site: Site, strict: Gateway) -> None:
    said = (("x-sixpoint-subject", "bob"), ("x-sixpoint-tenant", "clinic-b"), ("x-sixpoint-roles", "viewer"))
    assert site.ask(strict, *said, names=(PROXY,)) == Answer("OK")
    assert site.ask(strict, names=(WORKSTATION,)) == Answer("OK")
    refused = [
        # A certificate that is admitted itself, but is no proxy's.
        (said, (WORKSTATION,), "only from a proxy"),
        (said[2:], (WORKSTATION,), "only from a proxy"),
        ((*said, ("x-sixpoint-roles", "admin")), (PROXY,), "came twice"),
        ((said[0], ("x-sixpoint-tenant", "Clinic B")), (PROXY,), "a tenant's name"),
        ((*said, metadata(new_token())), (PROXY,), "several kinds"),
        # A proxy that says nothing is nobody.
        ((), (PROXY,), "are not valid"),
        ((), ("stranger.clinic.example",), "are not valid"),
    ]
    for headers, names, text in refused:
        answer = site.ask(strict, *headers, names=names)
        assert (answer.code, answer.reason) == ("UNAUTHENTICATED", "UNAUTHENTICATED")
        assert text in answer.text


def test_a_certificate_is_revoked_on_a_connection_that_exists(site: Site, strict: Gateway) -> None:
    with site.channel(strict, "ws3.clinic.example") as channel:
        assert ask(channel) == Answer("OK")
        remove_entry(site.tokens, "ws3.clinic.example")
        time.sleep(1.1)
        assert ask(channel).code == "UNAUTHENTICATED"


def test_limits_of_a_principal_say_when_to_try_again(site: Site) -> None:
    token, other = site.token("greedy"), site.token("polite")
    with (
        site.serving(auth="tokens", owner_calls_per_second=0.3) as gateway,
        site.channel(gateway) as channel,
    ):
        answers = [ask(channel, metadata(token)) for _ in range(4)]
        assert [answer.code for answer in answers] == ["OK"] * 3 + ["RESOURCE_EXHAUSTED"]
        assert "SIXPOINT_OWNER_CALLS_PER_SECOND" in answers[-1].text
        assert ask(channel, metadata(other)) == Answer("OK")


def test_uploads_of_a_principal_are_limited_by_their_bytes(site: Site) -> None:
    tls = TlsFiles(ca_file=site.folder / "ca.pem")
    token = site.token("sender")
    with site.serving(auth="tokens", owner_upload_bytes_per_second=1) as gateway:
        address = f"https://127.0.0.1:{gateway.port}"
        with Client(address, tls=tls, token=token, retry=Retry.none()) as client:
            # One that runs is not cut off.
            client.upload(noisy_volume())
            with pytest.raises(ResourceExhausted, match="SIXPOINT_OWNER_UPLOAD_BYTES_PER_SECOND"):
                client.upload(noisy_volume(spacing=2.0))


def test_everybody_may_ask_for_health(opened: Open) -> None:
    with opened.site.channel(opened.gateway) as channel:
        request = health_pb2.HealthCheckRequest(service="sixpoint.v1.ImageService")
        assert health_pb2_grpc.HealthStub(channel).Check(request, timeout=20).status == 1
