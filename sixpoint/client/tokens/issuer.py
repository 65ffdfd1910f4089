"""An issuer of tokens by OpenID Connect: its addresses, and the renewal and revocation of tokens."""

from __future__ import annotations

import re
import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from sixpoint.client.tokens.bearer import Token, check_token, token_times
from sixpoint.client.tokens.web import Web, check_url
from sixpoint.errors import InvalidArgument, SixpointError, Unauthenticated, Unavailable
from sixpoint.errors.shortening import quoted
from sixpoint.protocol import is_loopback_host

__all__ = ["Issuer", "Tokens", "error_code", "seconds"]

_DISCOVERY = "/.well-known/openid-configuration"
_ERROR = re.compile(r"[a-z_]{1,40}")


@dataclass(frozen=True)
class Tokens:
    """What an issuer gave.

    Attributes:
        access: Token for the gateway.
        refresh: Token that the issuer takes for new ones, once; empty for none.
        expires: Time when the access token expires, seconds since 1970; None if nothing says so.
    """

    access: Token = field(repr=False)
    refresh: Token = field(repr=False)
    expires: float | None

    @classmethod
    def from_answer(cls, answer: Mapping[str, Any]) -> Self:
        """Read the answer of a token endpoint.

        Raises:
            Unavailable: There is no token in it that can be sent to a gateway.
        """
        if str(answer.get("token_type", "")).lower() != "bearer":
            raise Unavailable("the issuer gave no token of the type Bearer")
        try:
            access = check_token(answer.get("access_token"), origin="the token that the issuer gave")
        except InvalidArgument as error:
            raise Unavailable(error.message) from None
        lifetime = seconds(answer.get("expires_in"))
        times = token_times(access)
        expires = times.expires.timestamp() if times and times.expires else None
        # Seconds from now suit this machine's clock, whatever it shows.
        return cls(access, Token(answer.get("refresh_token") or ""), time.time() + lifetime if lifetime else expires)


@dataclass(frozen=True)
class Issuer:
    """An issuer of tokens, as its metadata describe it.

    Attributes:
        url: Its name.
        token_url: Where tokens are asked for.
        device_url: Where a login is begun; empty if the issuer does not offer the device flow.
        revocation_url: Where a token is revoked; empty if that is not possible.
        scopes: Scopes that it has; empty if it does not say.
    """

    url: str
    token_url: str
    device_url: str
    revocation_url: str
    scopes: frozenset[str]

    @classmethod
    def discover(cls, url: str, *, web: Web) -> Self:
        """Read an issuer's metadata.

        Args:
            url: Name of the issuer, an https:// URL.
            web: Asks it.

        Raises:
            InvalidArgument: The URL is none of an issuer.
            Unavailable: The issuer cannot be reached, or has no such metadata.
        """
        url = check_url(url.strip()).removesuffix(_DISCOVERY).rstrip("/")
        metadata = web.get(url + _DISCOVERY)
        if str(metadata.get("issuer", "")).rstrip("/") != url:
            raise Unavailable(
                f"{quoted(url)} says that its name is {quoted(metadata.get('issuer', ''))}; use that name, or correct "
                "the issuer's settings"
            )
        local = is_loopback_host(urllib.parse.urlsplit(url).hostname or "")
        token, device, revocation = (
            _endpoint(metadata, name, local=local)
            for name in ("token_endpoint", "device_authorization_endpoint", "revocation_endpoint")
        )
        if not token:
            raise Unavailable(f"the issuer {quoted(url)} names no token_endpoint")
        scopes = metadata.get("scopes_supported")
        names = frozenset(filter(lambda name: isinstance(name, str), scopes)) if isinstance(scopes, list) else ()
        return cls(url, token, device, revocation, frozenset(names))

    def renew(self, refresh_token: Token, *, client_id: str, resource: str, web: Web) -> Tokens:
        """Exchange a refresh token for new tokens.

        Args:
            refresh_token: Refresh token of the last answer.
            client_id: Name of this program at the issuer.
            resource: Resource indicator of the gateway; empty for none.
            web: Asks the issuer.

        Raises:
            Unauthenticated: The issuer does not take the refresh token any more.
            Unavailable: The issuer does not answer, or not with a token.
        """
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token, "client_id": client_id}
        status, answer = web.post(self.token_url, form | {"resource": resource})
        if status == 200:
            tokens = Tokens.from_answer(answer)
            # An issuer that does not rotate refresh tokens leaves it out.
            return tokens if tokens.refresh else Tokens(tokens.access, refresh_token, tokens.expires)
        if status >= 500 or status == 429:
            raise Unavailable(f"the issuer {quoted(self.url)} answers {status}")
        raise Unauthenticated(f"the issuer {quoted(self.url)} does not renew the login: {error_code(answer)}")

    def revoke(self, refresh_token: Token, *, client_id: str, web: Web) -> bool:
        """Make a refresh token worthless, so that a copy of it is, too; return whether the issuer did.

        Args:
            refresh_token: Refresh token to revoke.
            client_id: Name of this program at the issuer.
            web: Asks the issuer.
        """
        if not self.revocation_url:
            return False
        form = {"token": refresh_token, "token_type_hint": "refresh_token", "client_id": client_id}
        try:
            return web.post(self.revocation_url, form)[0] == 200
        except SixpointError:
            return False


def _endpoint(metadata: Mapping[str, Any], name: str, *, local: bool) -> str:
    """A URL of an issuer's metadata; empty if it is not there."""
    url = metadata.get(name)
    if not url:
        return ""
    try:
        checked = check_url(str(url))
    except InvalidArgument as error:
        raise Unavailable(f"the issuer's {name}: {error.message}") from None
    # An issuer elsewhere has nothing to send this machine to itself for.
    if not local and is_loopback_host(urllib.parse.urlsplit(checked).hostname or ""):
        raise Unavailable(f"the issuer's {name} is on this machine, which the issuer is not")
    return checked


def error_code(answer: Mapping[str, Any]) -> str:
    """The error that an issuer names; of its other words some repeat what was sent."""
    error = answer.get("error")
    return error if isinstance(error, str) and _ERROR.fullmatch(error) else "unknown error"


def seconds(value: object) -> float | None:
    """A time that an issuer states; None if it states none."""
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value[:10])
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
        return None
    return float(value)
