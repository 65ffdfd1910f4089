"""Which token a client sends: as given, else of the environment, else of the login for the gateway."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from sixpoint.client.tokens.bearer import check_token
from sixpoint.client.tokens.logins import LoginFile
from sixpoint.client.tokens.sources import CallableToken, FileToken, FixedToken, LoginToken, NoToken, TokenSource
from sixpoint.errors import InvalidArgument
from sixpoint.protocol import Target

__all__ = ["TOKEN_FILE_VARIABLE", "TOKEN_VARIABLE", "GivenToken", "TokenCallback", "check_private", "choose_source"]

TOKEN_VARIABLE = "SIXPOINT_TOKEN"
TOKEN_FILE_VARIABLE = "SIXPOINT_TOKEN_FILE"

TokenCallback = Callable[[], str]
"""A function that returns a token. It is called before each call of a client."""


@dataclass(frozen=True, repr=False)
class GivenToken:
    """What a client was given to tell who calls.

    Attributes:
        token: Token, or a function that returns one; empty for none, also none of the environment; None if not given.
        token_file: File with a token; None if not given.
    """

    token: str | TokenCallback | None = None
    token_file: str | os.PathLike[str] | None = None


def choose_source(
    target: Target, given: GivenToken, *, has_channel: bool, context: Callable[[], ssl.SSLContext]
) -> TokenSource:
    """Return where a client's token comes from.

    Args:
        target: What the client connects to.
        given: What the client was given.
        has_channel: Whether the client was given a channel: nobody knows where it leads, so that it gets only tokens
            that were given with it.
        context: Makes the TLS context by which an issuer is asked.

    Raises:
        InvalidArgument: Two tokens are given, or one that cannot be sent, or others could read it on its way.
    """
    source = _source_of(given)
    if source is None and not has_channel:
        source = _of_environment()
    if source is None:
        if has_channel or not target.is_private:
            return NoToken()
        try:
            return LoginToken(LoginFile(str(target)), context=context)
        except InvalidArgument:
            # Nowhere to log in: as in a container, whose user has no home folder.
            return NoToken()
    if not has_channel and not isinstance(source, NoToken):
        check_private(target)
    return source


def check_private(target: Target) -> None:
    """Refuse to send a token where others could read it.

    Raises:
        InvalidArgument: The gateway is on another machine, and is reached without TLS.
    """
    if not target.is_private:
        raise InvalidArgument(
            f"a token would travel to {target} unencrypted, where others can read it, so that nothing was sent; write "
            f"https://{target} if the gateway has TLS, or reach it through a tunnel (ssh -L "
            "50051:localhost:50051 HOST) as 127.0.0.1:50051"
        )


def _source_of(given: GivenToken) -> TokenSource | None:
    token, token_file = given.token, given.token_file
    if token is not None and token_file is not None:
        raise InvalidArgument("token= and token_file= are both given; give one of them")
    if token_file is not None:
        return _checked(FileToken(token_file, origin="token_file="))
    if token is None:
        return None
    if callable(token):
        return CallableToken(token)
    return FixedToken(check_token(token, origin="the token")) if token != "" else NoToken()


def _of_environment() -> TokenSource | None:
    token, file = (os.environ.get(name, "") for name in (TOKEN_VARIABLE, TOKEN_FILE_VARIABLE))
    if token and file:
        raise InvalidArgument(f"{TOKEN_VARIABLE} and {TOKEN_FILE_VARIABLE} are both set; unset one of them")
    if token:
        return FixedToken(check_token(token, origin=TOKEN_VARIABLE))
    return _checked(FileToken(file, origin=TOKEN_FILE_VARIABLE)) if file else None


def _checked(source: FileToken) -> FileToken:
    """Read the file once, so that a wrong name is an error before anything else happens."""
    source.fetch()
    return source
