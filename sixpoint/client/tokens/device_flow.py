"""The device flow (RFC 8628): a person logs in at the issuer's page, and the program gets the tokens."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sixpoint.client.tokens.bearer import Token
from sixpoint.client.tokens.issuer import Issuer, Tokens, error_code, seconds
from sixpoint.client.tokens.web import Web, check_url
from sixpoint.errors import InvalidArgument, Unauthenticated, Unavailable
from sixpoint.errors.shortening import quoted, shorten

__all__ = ["DeviceCode", "begin_login", "wait_for_login"]

# Of these, those that the issuer has. The second asks for a refresh token.
_DEFAULT_SCOPE = "openid offline_access"
_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
# RFC 8628: the interval where the issuer states none, and what "slow_down" adds to it.
_INTERVAL_S = 5.0
_SLOWER_S = 5.0
_MAX_INTERVAL_S = 60.0
_MAX_WAIT_S = 3600.0


@dataclass(frozen=True)
class DeviceCode:
    """A login that waits for a person.

    Attributes:
        secret: Code by which the issuer knows this login.
        user_code: Code that the person compares, or types.
        url: Page at which the person logs in.
        complete_url: Page that has the code already; empty if the issuer has none.
        expires_s: Seconds in which the person has to log in.
        interval_s: Seconds to wait before each question whether the person has.
    """

    secret: Token = field(repr=False)
    user_code: str
    url: str
    complete_url: str
    expires_s: float
    interval_s: float


def begin_login(issuer: Issuer, *, client_id: str, scope: str, resource: str, audience: str, web: Web) -> DeviceCode:
    """Begin a login.

    Args:
        issuer: Where to log in.
        client_id: Name of this program at the issuer.
        scope: Scopes, with spaces between them; empty for ``openid offline_access``.
        resource: Resource indicator (RFC 8707) of the gateway; empty for none.
        audience: Audience of the token, as some issuers want it; empty for none.
        web: Asks the issuer.

    Raises:
        InvalidArgument: The issuer refuses.
        Unavailable: The issuer cannot be reached, or its answer is not as RFC 8628 has it.
    """
    if not issuer.device_url:
        raise InvalidArgument(
            f"the issuer {quoted(issuer.url)} has no device flow (RFC 8628); let its administrator switch it on, or "
            "take a token from elsewhere and name its file with SIXPOINT_TOKEN_FILE"
        )
    form = {"client_id": client_id, "scope": scope or _default_scope(issuer)}
    status, answer = web.post(issuer.device_url, form | {"resource": resource, "audience": audience})
    if status != 200:
        # Nothing secret was sent, so that the issuer's own words may be shown.
        words = shorten(_printable(str(answer.get("error_description") or "")), 200)
        raise InvalidArgument(f"the issuer refuses the login: {error_code(answer)}{f' ({words})' if words else ''}")
    code = DeviceCode(
        secret=Token(answer.get("device_code") or ""),
        user_code=_printable(str(answer.get("user_code") or "")),
        url=_page(answer, "verification_uri"),
        complete_url=_page(answer, "verification_uri_complete"),
        expires_s=min(seconds(answer.get("expires_in")) or 0.0, _MAX_WAIT_S),
        interval_s=min(max(seconds(answer.get("interval")) or _INTERVAL_S, 1.0), _MAX_INTERVAL_S),
    )
    if not (code.secret and code.user_code and code.url and code.expires_s):
        raise Unavailable(f"the issuer {quoted(issuer.url)} did not answer as RFC 8628 has it")
    return code


def wait_for_login(
    issuer: Issuer,
    code: DeviceCode,
    *,
    client_id: str,
    resource: str,
    web: Web,
    sleep: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Tokens:
    """Wait until the person has logged in.

    Args:
        issuer: Where the person logs in.
        code: The login.
        client_id: Name of this program at the issuer.
        resource: Resource indicator of the gateway; empty for none.
        web: Asks the issuer.
        sleep: Waits for some seconds.
        clock: Returns the seconds of a monotonic clock.

    Raises:
        Unauthenticated: The person refused, or did not log in in time, or the issuer refuses.
        Unavailable: The issuer gave something else than a token.
    """
    form = {"grant_type": _GRANT, "device_code": code.secret, "client_id": client_id, "resource": resource}
    end, interval = clock() + code.expires_s, code.interval_s
    while clock() + interval < end:
        sleep(interval)
        try:
            status, answer = web.post(issuer.token_url, form)
        except Unavailable:
            # RFC 8628: a network that fails is asked less and less often.
            interval = min(interval * 2, _MAX_INTERVAL_S)
            continue
        if status == 200:
            return Tokens.from_answer(answer)
        match error_code(answer):
            case "authorization_pending":
                pass
            case "slow_down":
                interval += _SLOWER_S
            case "access_denied":
                raise Unauthenticated("the login was refused at the issuer's page")
            case "expired_token":
                break
            case error if status < 500:
                raise Unauthenticated(f"the issuer refuses the login: {error}")
    raise Unauthenticated("nobody logged in in time; begin again: sixpoint login")


def _default_scope(issuer: Issuer) -> str:
    return " ".join(scope for scope in _DEFAULT_SCOPE.split() if scope in issuer.scopes or not issuer.scopes)


def _page(answer: Mapping[str, Any], name: str) -> str:
    """A page for the person's browser; empty if it is missing or none."""
    try:
        return check_url(str(answer.get(name) or ""))
    except InvalidArgument:
        return ""


def _printable(text: str) -> str:
    return "".join(character for character in text if character.isprintable())
