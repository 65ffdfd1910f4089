"""A token as it travels: checked, hidden from reprs, in the metadata of a call."""

from __future__ import annotations

import base64
import json
import math
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from sixpoint.errors import InvalidArgument

__all__ = ["Token", "TokenTimes", "bearer_metadata", "check_token", "token_times"]

_KEY = "authorization"
_SCHEME = "Bearer "
# gRPC refuses metadata of more than 8 KiB, now and then at first; the longest owner and what proxies add take 1 KiB.
_MAX_CHARACTERS = 7000
# Year 2286; later times, which some number of milliseconds is, would be no date for Python.
_LAST_TIME = 1e10


class Token(str):
    """A token, or another secret text. Its repr is hidden: debuggers, and tracebacks with variables, print reprs."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<token>"


def check_token(text: object, *, origin: str) -> Token:
    """Return a token without the white space round it.

    Args:
        text: Token as it was given.
        origin: Where it comes from, for errors.

    Raises:
        InvalidArgument: It is empty, too long, or has characters that cannot be sent; the message is without it.
    """
    if not isinstance(text, str):
        raise InvalidArgument(f"{origin} is {type(text).__name__}; a token is a text (str)")
    token = Token(text.strip())
    if not token:
        raise InvalidArgument(f"{origin} is empty; a token was expected")
    if token.lower().startswith(_SCHEME.lower()):
        raise InvalidArgument(f"{origin} begins with {_SCHEME.strip()!r}, which is sent anyway: give the token alone")
    if not all("!" <= character <= "~" for character in token):
        raise InvalidArgument(
            f"{origin} has characters that cannot be sent, such as spaces, ends of lines or umlauts; a token is one "
            "word of letters, digits and punctuation"
        )
    if len(token) > _MAX_CHARACTERS:
        raise InvalidArgument(
            f"{origin} has {len(token)} characters; the gateway takes {_MAX_CHARACTERS}. Ask for a token with fewer "
            "claims, such as groups"
        )
    return token


def bearer_metadata(token: str) -> tuple[str, str]:
    """Return the metadata with which a token is sent."""
    return _KEY, Token(f"{_SCHEME}{token}")


@dataclass(frozen=True)
class TokenTimes:
    """When a token may be used, as it says itself. Nobody has checked its signature.

    Attributes:
        issued: When it was made; None if it does not say.
        begins: When it begins to be valid; None if it does not say.
        expires: When it expires; None if it does not say.
    """

    issued: datetime | None
    begins: datetime | None
    expires: datetime | None


def token_times(token: str) -> TokenTimes | None:
    """Read the times of a JWT; None for a token of another kind."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    claims: object = None
    with suppress(ValueError, RecursionError):
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    if not isinstance(claims, dict):
        return None
    return TokenTimes(*(_time(claims.get(name)) for name in ("iat", "nbf", "exp")))


def _time(value: object) -> datetime | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return datetime.fromtimestamp(value, UTC) if 0 <= value < _LAST_TIME else None
