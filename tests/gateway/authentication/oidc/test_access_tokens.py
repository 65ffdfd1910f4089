"""Access tokens of a real OpenID Connect provider: which are taken, and why others are not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.authentication.oidc import AccessTokens, IssuerDocuments, IssuerKeys, OidcMethod
from gateway.authentication.refusal import Refusal, RefusalKind
from gateway.core.access import Credentials, Principal, Role
from tests.support.oidc import OidcProvider


def method(provider: OidcProvider, **settings: Any) -> OidcMethod:
    values: dict[str, Any] = {"issuer": provider.issuer, "audience": provider.audience, "tenant_claim": "tenant"}
    return OidcMethod(IssuerKeys(IssuerDocuments(provider.issuer).keys), AccessTokens(**values | settings))


@pytest.fixture(scope="module")
def oidc(provider: OidcProvider) -> OidcMethod:
    return method(provider)


async def ask(oidc: OidcMethod, token: str) -> Principal | Refusal | None:
    return await oidc.identify(Credentials(authorization=f"Bearer {token}"))


def encode(part: Mapping[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def decode(token: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    return (
        jwt.get_unverified_header(token),
        jwt.decode(token, options={"verify_signature": False}),
        token.rpartition(".")[2],
    )


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
async def test_a_token_says_who_calls_of_which_tenant_in_which_roles_and_until_when(
    oidc: OidcMethod, provider: OidcProvider, algorithm: str
) -> None:
    token = provider.mint("alice", tenant="clinic-a", roles=["annotator", "viewer", "other"], algorithm=algorithm)
    principal = await ask(oidc, token)
    assert isinstance(principal, Principal)
    assert principal == Principal(
        "alice", "clinic-a", frozenset({Role.ANNOTATOR, Role.VIEWER}), "oidc", principal.expires
    )
    assert principal.expires == pytest.approx(time.time() + 300 + 30, abs=5)
    assert await ask(oidc, token) is principal


async def test_what_is_no_token_of_an_issuer_is_for_others_to_tell(oidc: OidcMethod) -> None:
    for token in ("", "sxp_abc", "a.b", "a.b.c.d"):
        assert await ask(oidc, token) is None


async def test_forged_tokens_are_refused_without_a_reason(oidc: OidcMethod, provider: OidcProvider) -> None:
    token = provider.mint("alice")
    header, claims, signature = decode(token)
    body = encode(claims)
    published = provider.keys()
    document = next(key for key in published if key["kid"] == header["kid"])
    public = jwt.PyJWK(document).key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    symmetric = f"{encode(header | {'alg': 'HS256'})}.{body}"
    mac = base64.urlsafe_b64encode(hmac.new(public, symmetric.encode(), hashlib.sha256).digest()).rstrip(b"=").decode()
    own = rsa.generate_private_key(65537, 2048)

    def signed(**changes: object) -> str:
        return jwt.encode(claims, own, algorithm="RS256", headers={"kid": header["kid"]} | changes)

    own_key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(own.public_key()))
    forged: list[tuple[RefusalKind, str]] = [
        ("signature", f"{encode(header | {'alg': 'none'})}.{body}."),
        ("signature", f"{encode(header | {'alg': 'None'})}.{body}.{signature}"),
        ("signature", f"{symmetric}.{mac}"),
        # Of another algorithm than its key's.
        ("signature", f"{encode(header | {'alg': 'ES256'})}.{body}.{signature}"),
        ("signature", f"{encode(header | {'alg': 'PS256'})}.{body}.{signature}"),
        ("signature", f"{encode(header)}.{encode(claims | {'sub': 'root'})}.{signature}"),
        ("signature", f"{encode(header)}.{body}.{signature[:-8]}AAAAAAAA"),
        ("signature", f"{encode(header)}.{body}."),
        ("signature", signed()),
        # Keys that the token brings along itself.
        ("signature", signed(jwk=own_key, jku="https://evil.example/keys")),
        ("key", signed(kid="other")),
        ("key", signed(kid="../../etc/passwd")),
        ("malformed", f"{encode(header | {'kid': 7})}.{body}.{signature}"),
        ("signature", f"{encode({'alg': 'RS256'})}.{body}.{signature}"),
        ("malformed", signed(crit=["exp"])),
        ("malformed", "a.b.c"),
        ("malformed", f"{'A' * 5000}.{body}.{signature}"),
        ("malformed", f"{encode(header)}.{'A' * 5001}.{signature}"),
        ("malformed", f"{base64.urlsafe_b64encode(b'[' * 9000).decode()}.{body}.{signature}"),
    ]
    for kind, text in forged:
        result = await ask(oidc, text)
        assert result in (Refusal(kind), Refusal("signature"), Refusal("malformed")), text
        if kind in ("key", "signature"):
            assert result == Refusal(kind), text
    assert isinstance(await ask(oidc, token), Principal)


async def test_tokens_of_the_issuer_that_are_not_for_this_are_refused_with_the_reason(
    oidc: OidcMethod, provider: OidcProvider
) -> None:
    now = int(time.time())
    refused: list[tuple[RefusalKind, str, str]] = [
        ("expired", "the token has expired; log in again: sixpoint login", provider.mint(lifetime_s=-31)),
        ("immature", "is not valid yet", provider.mint(nbf=now + 60)),
        ("immature", "is not valid yet", provider.mint(iat=now + 60)),
        ("audience", "is for another service", provider.mint(audience="account")),
        ("audience", "is for another service", provider.mint(audience=["a", "sixpoint2"])),
        ("claims", "", provider.mint(iss="https://sso.example")),
        ("claims", "", provider.mint(iss=f"{provider.issuer}/")),
        ("claims", "lacks one of the claims", provider.mint(exp=None)),
        ("claims", "lacks one of the claims", provider.mint(iat=None)),
        ("claims", "lacks one of the claims", provider.mint(sub=None)),
        ("claims", "lacks one of the claims", provider.mint(aud=None)),
        ("claims", "no claim tenant", provider.mint(tenant=None)),
        ("claims", "no claim tenant", provider.mint(tenant=None, tenants=["clinic-a"])),
        ("claims", "a tenant's name has", provider.mint(tenant="Clinic A")),
        ("claims", "a tenant's name has", provider.mint(tenant="../clinic-a")),
        ("claims", "control characters", provider.mint("a\nb")),
        ("claims", "at most 200 characters", provider.mint("a" * 201)),
        ("claims", "is not empty", provider.mint("")),
        # ID tokens, as Keycloak and Cognito mark them, and as OpenID Connect allows to tell.
        ("claims", "is an ID token", provider.mint(typ="ID")),
        ("claims", "is an ID token", provider.mint(token_use="id")),
        ("claims", "is an ID token", provider.mint(at_hash="x")),
        ("claims", "is an ID token", provider.mint(typ="Refresh")),
    ]
    for kind, sentence, token in refused:
        result = await ask(oidc, token)
        assert isinstance(result, Refusal), sentence
        assert (result.kind, sentence in result.explanation) == (kind, True), (result, sentence)
        assert token not in result.explanation
    # Clocks may differ by as much as this.
    assert isinstance(await ask(oidc, provider.mint(lifetime_s=-25)), Principal)
    assert isinstance(await ask(oidc, provider.mint(nbf=now + 25)), Principal)


async def test_another_kind_of_token_in_the_header_is_refused(oidc: OidcMethod, provider: OidcProvider) -> None:
    header, claims, signature = decode(provider.mint())
    for kind in ("logout+jwt", "dpop+jwt", "JWE", 7, ["JWT"]):
        result = await ask(oidc, f"{encode(header | {'typ': kind})}.{encode(claims)}.{signature}")
        assert isinstance(result, Refusal)


async def test_claims_are_found_by_path_by_url_and_by_the_names_of_the_issuer(provider: OidcProvider) -> None:
    settings = {
        "tenant_claim": "https://sixpoint.example/tenant",
        "roles_claim": "realm_access.roles",
        "subject_claim": "preferred_username",
        "roles": {"radiology": Role.ANNOTATOR, "it": Role.ADMIN},
    }
    oidc = method(provider, **settings)
    claims: dict[str, Any] = {"https://sixpoint.example/tenant": "clinic-b", "preferred_username": "Ada"}
    principal = await ask(oidc, provider.mint(realm_access={"roles": ["radiology", "admin", 7]}, **claims))
    assert isinstance(principal, Principal)
    # The issuer's own admins are not the gateway's.
    assert (principal.subject, principal.tenant, principal.roles) == ("Ada", "clinic-b", frozenset({Role.ANNOTATOR}))
    for other in ({"roles": 7}, ["it"], {}):
        without = await ask(oidc, provider.mint(realm_access=other, **claims))
        assert isinstance(without, Principal)
        assert without.roles == frozenset()


async def test_roles_may_be_one_text_and_without_a_tenant_claim_all_are_of_one_tenant(provider: OidcProvider) -> None:
    principal = await ask(
        method(provider, tenant_claim="", roles_claim="scope"), provider.mint(scope="viewer engineer")
    )
    assert isinstance(principal, Principal)
    assert (principal.tenant, principal.roles) == ("default", frozenset({Role.VIEWER, Role.ENGINEER}))


async def test_a_token_that_was_verified_is_not_taken_for_longer_than_it_says(provider: OidcProvider) -> None:
    now = [time.time()]
    oidc = OidcMethod(
        IssuerKeys(IssuerDocuments(provider.issuer).keys),
        AccessTokens(provider.issuer, provider.audience),
        clock=lambda: now[0],
    )
    # It is taken for 30 s more, of which five are left.
    token = provider.mint(lifetime_s=-25)
    principal = await ask(oidc, token)
    assert await ask(oidc, token) is principal
    now[0] += 5.5
    time.sleep(max(0.0, now[0] - time.time()))
    result = await ask(oidc, token)
    assert isinstance(result, Refusal)
    assert result.kind == "expired"
