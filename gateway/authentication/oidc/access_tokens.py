"""Access tokens of an OpenID Connect issuer (JWT, RFC 9068)."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt

from gateway.authentication.bearer import bearer_token
from gateway.authentication.names import check_subject, known_roles
from gateway.authentication.oidc.keys import IssuerKeys
from gateway.authentication.refusal import Refusal
from gateway.core.access import DEFAULT_TENANT, Credentials, Principal, Role, check_tenant
from sixpoint.errors import InvalidArgument

__all__ = ["AccessTokens", "OidcMethod"]

_LEEWAY_SECONDS = 30.0
_ALGORITHMS = frozenset({"RS256", "PS256", "ES256", "EdDSA"})
_TYPES = frozenset({"", "jwt", "at+jwt", "application/at+jwt"})
_REQUIRED = ["exp", "iat", "sub", "iss", "aud"]
# What providers write into tokens that are not for APIs: Keycloak's claim typ, Cognito's token_use.
_OTHER_KINDS = frozenset({"id", "refresh", "offline", "logout", "serialized-id"})
# Only ID tokens have them (OpenID Connect Core, 2 and 3.3.2.11).
_ID_TOKEN_CLAIMS = frozenset({"at_hash", "c_hash", "s_hash"})
_CACHED = 10_000
# A token that its issuer signed with a key that it then withdraws stays valid for no longer.
_CACHED_SECONDS = 300.0
_LOGIN = "log in again: sixpoint login"


@dataclass(frozen=True)
class AccessTokens:
    """What access tokens have to say.

    Attributes:
        issuer: URL of the issuer.
        audience: Name of this gateway; tokens for other services are refused.
        tenant_claim: Claim with the tenant; "" if all are of the tenant ``default``.
        roles_claim: Claim with the roles: a list, or names with spaces or commas between them.
        subject_claim: Claim with the name of the subject.
        roles: Roles by the issuer's names for them; empty if the issuer uses the gateway's names.
    """

    issuer: str
    audience: str
    tenant_claim: str = ""
    roles_claim: str = "roles"
    subject_claim: str = "sub"
    roles: Mapping[str, Role] = field(default_factory=dict)


class OidcMethod:
    """Access tokens in the header ``authorization: Bearer ...``.

    Verified tokens are remembered by their SHA-256, for five minutes at most.

    Args:
        keys: Keys of the issuer.
        tokens: What access tokens have to say.
        clock: Function that returns the time, seconds since 1970.
    """

    def __init__(self, keys: IssuerKeys, tokens: AccessTokens, *, clock: Callable[[], float] = time.time) -> None:
        self._keys = keys
        self._tokens = tokens
        self._clock = clock
        self._verified: OrderedDict[bytes, tuple[Principal, float]] = OrderedDict()
        self._generation = 0

    async def identify(self, credentials: Credentials) -> Principal | Refusal | None:
        """Return who has the token; None if there is no JSON Web Token.

        Raises:
            Unavailable: The issuer is away, and there are no keys of the last 24 hours.
        """
        token = bearer_token(credentials.authorization)
        if not isinstance(token, str) or token.count(".") != 2:
            return None
        digest = hashlib.sha256(token.encode()).digest()
        remembered = self._remembered(digest)
        if remembered:
            return remembered
        result = await self._verify(token)
        if isinstance(result, Principal):
            self._forget_old_keys()
            now = self._clock()
            self._verified[digest] = (result, min(result.expires or now, now + _CACHED_SECONDS))
            if len(self._verified) > _CACHED:
                self._verified.popitem(last=False)
        return result

    def _remembered(self, digest: bytes) -> Principal | None:
        self._forget_old_keys()
        principal, until = self._verified.get(digest, (None, 0.0))
        if principal and until <= self._clock():
            del self._verified[digest]
            return None
        return principal

    def _forget_old_keys(self) -> None:
        """Forget what was verified, if the keys have changed: a key may have been withdrawn."""
        if self._generation != self._keys.generation:
            self._verified.clear()
            self._generation = self._keys.generation

    async def _verify(self, token: str) -> Principal | Refusal:
        """Verify a token: 0.1 to 0.3 ms on the event loop."""
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError, RecursionError):
            return Refusal("malformed")
        algorithm, key_id, kind = header.get("alg"), header.get("kid"), header.get("typ", "")
        if algorithm not in _ALGORITHMS or not isinstance(key_id, str) or "crit" in header:
            return Refusal("signature")
        if str(kind).lower() not in _TYPES:
            return Refusal("claims", f"the token is no access token; {_LOGIN}")
        key = await self._keys.find(key_id)
        if key is None:
            return Refusal("key")
        if algorithm not in key.algorithms:
            return Refusal("signature")
        try:
            claims = jwt.decode(
                token,
                key.key,
                algorithms=[algorithm],
                audience=self._tokens.audience,
                issuer=self._tokens.issuer,
                leeway=_LEEWAY_SECONDS,
                options={"require": _REQUIRED},
            )
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            return _refusal(error)
        return self._principal(claims)

    def _principal(self, claims: Mapping[str, Any]) -> Principal | Refusal:
        """Return who a token of the issuer is for."""
        tokens = self._tokens
        kinds = {str(claims.get(name, "")).lower() for name in ("typ", "token_use")}
        if kinds & _OTHER_KINDS or _ID_TOKEN_CLAIMS & claims.keys():
            return Refusal("claims", f"the token is an ID token or another one that is no access token; {_LOGIN}")
        subject = _claim(claims, tokens.subject_claim)
        tenant = _claim(claims, tokens.tenant_claim) if tokens.tenant_claim else DEFAULT_TENANT
        if not isinstance(subject, str) or not isinstance(tenant, str):
            which = tokens.tenant_claim if isinstance(subject, str) else tokens.subject_claim
            return Refusal("claims", f"the token has no claim {which}, which this gateway needs; ask its operator")
        try:
            check_subject(subject)
            check_tenant(tenant)
        except InvalidArgument as error:
            return Refusal("claims", f"a claim of the token cannot be used: {error.message}")
        # As long as it is taken, so that a stream does not end before a new one would be refused.
        expires = float(claims["exp"]) + _LEEWAY_SECONDS
        return Principal(subject, tenant, self._roles(claims), "oidc", expires)

    def _roles(self, claims: Mapping[str, Any]) -> frozenset[Role]:
        stated = _claim(claims, self._tokens.roles_claim)
        if isinstance(stated, str):
            stated = stated.replace(",", " ").split()
        names = [name for name in stated if isinstance(name, str)] if isinstance(stated, list) else []
        if self._tokens.roles:
            return frozenset(self._tokens.roles[name] for name in names if name in self._tokens.roles)
        return known_roles(names)


def _claim(claims: Mapping[str, Any], path: str) -> object:
    """Return a claim by its name, or by the names on the way to it with dots between them; None without it."""
    # Names may be URLs, with dots of their own.
    if path in claims:
        return claims[path]
    value: object = claims
    for name in path.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    return value


def _refusal(error: Exception) -> Refusal:
    """Say why; the signature is checked first, so that the claims that are explained are the issuer's."""
    match error:
        case jwt.ExpiredSignatureError():
            return Refusal("expired", f"the token has expired; {_LOGIN}")
        case jwt.ImmatureSignatureError():
            return Refusal("immature", "the token is not valid yet; compare the clocks of gateway and issuer")
        case jwt.InvalidAudienceError():
            return Refusal("audience", "the token is for another service; log in for this gateway: sixpoint login")
        case jwt.MissingRequiredClaimError():
            return Refusal("claims", f"the token lacks one of the claims {', '.join(_REQUIRED)}; ask its issuer")
        case jwt.InvalidSignatureError():
            return Refusal("signature")
        case jwt.PyJWTError():
            return Refusal("claims")
        case _:
            return Refusal("malformed")
