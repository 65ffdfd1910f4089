"""Tokens by which a gateway recognises who calls: where they come from, and how a login renews them.

A token never becomes part of a repr, a log line, an error or the traceback of one.
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
from sixpoint.client.tokens.device_flow import DeviceCode, begin_login, wait_for_login
from sixpoint.client.tokens.issuer import Issuer, Tokens
from sixpoint.client.tokens.logins import Login, LoginFile
from sixpoint.client.tokens.sources import FileToken, LoginToken, NoToken, TokenSource
from sixpoint.client.tokens.web import Web

__all__ = [
    "TOKEN_FILE_VARIABLE",
    "TOKEN_VARIABLE",
    "DeviceCode",
    "FileToken",
    "GivenToken",
    "Issuer",
    "Login",
    "LoginFile",
    "LoginToken",
    "NoToken",
    "Token",
    "TokenCallback",
    "TokenSource",
    "TokenTimes",
    "Tokens",
    "Web",
    "bearer_metadata",
    "begin_login",
    "check_private",
    "choose_source",
    "token_times",
    "wait_for_login",
]
