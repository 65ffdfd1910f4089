"""Tokens by which a gateway recognises who calls: where they come from, and how a login renews them.

A token never becomes part of a repr, a log line, an error or the traceback of one. What asks an issuer (``issuer``,
``device_flow``, ``web``) is imported by its own name: most programs never need HTTP.
"""

from sixpoint.client.tokens.bearer import Token, TokenTimes, bearer_metadata, token_times
from sixpoint.client.tokens.choice import (
    TOKEN_FILE_VARIABLE,
    TOKEN_VARIABLE,
    GivenToken,
    TokenCallback,
    check_private,
    choose_source,
)
from sixpoint.client.tokens.logins import Login, LoginFile
from sixpoint.client.tokens.sources import FileToken, LoginToken, NoToken, TokenSource

__all__ = [
    "TOKEN_FILE_VARIABLE",
    "TOKEN_VARIABLE",
    "FileToken",
    "GivenToken",
    "Login",
    "LoginFile",
    "LoginToken",
    "NoToken",
    "Token",
    "TokenCallback",
    "TokenSource",
    "TokenTimes",
    "bearer_metadata",
    "check_private",
    "choose_source",
    "token_times",
]
