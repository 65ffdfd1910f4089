"""What ``sixpoint doctor`` says of the token that is sent: where it is from, whether it is valid, and the clocks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sixpoint.cli.doctor.connection import Finding
from sixpoint.client import TlsFiles
from sixpoint.client.tokens import (
    TOKEN_FILE_VARIABLE,
    TOKEN_VARIABLE,
    GivenToken,
    LoginFile,
    LoginToken,
    choose_source,
    token_times,
)
from sixpoint.client.tokens.issuer import Issuer
from sixpoint.client.tokens.web import Web
from sixpoint.errors import PermissionDenied, SixpointError, Unauthenticated
from sixpoint.io.secret_files import exposed_files
from sixpoint.protocol import resolve_target

__all__ = ["check_token", "explain_refusal"]

_WHAT = "token"
# What gateways tolerate between two clocks.
_LEEWAY = timedelta(seconds=30)
_LOGIN_ADVICE = "Without a login, name a file that holds a token with SIXPOINT_TOKEN_FILE."
_SYNCHRONISE = "Synchronise this machine's clock (NTP): the issuer's clock decides when a token is valid."


def check_token(server: str) -> Iterator[Finding]:
    """Check the token that a client of this environment sends; nothing is said where there is none.

    Args:
        server: Address of the gateway.
    """
    target = resolve_target(server)
    context = TlsFiles.from_environment().issuer_context
    try:
        source = choose_source(target, GivenToken(), has_channel=False, context=context)
    except SixpointError as error:
        yield Finding(_WHAT, False, error.message, "docs/how-to/sign-in.md says which token is sent, and how.")
        return
    login = None
    try:
        token = source.fetch()
        if isinstance(source, LoginToken):
            login = LoginFile(str(target)).load()
    except SixpointError as error:
        # Only a login can fail here, and its errors say what to do.
        yield Finding(_WHAT, False, f"the login cannot be used: {error.message}", _LOGIN_ADVICE)
        return
    if not token:
        return
    origin = f"of the login at {login.issuer}" if login else f"of {_variable()}"
    yield _check_times(token, origin, advice=_exposed())
    if login:
        yield from _check_issuer_clock(login.issuer)


def explain_refusal(error: SixpointError, server: str) -> Finding | None:
    """Explain why a gateway did not accept a caller; None for another error.

    Args:
        error: What the gateway answered.
        server: Address of the gateway.
    """
    if isinstance(error, PermissionDenied):
        return Finding("roles", False, error.message, "You are known, but this is not among what you may do.")
    if not isinstance(error, Unauthenticated):
        return None
    if not any(map(os.environ.get, (TOKEN_VARIABLE, TOKEN_FILE_VARIABLE))) and not _has_login(server):
        return Finding(
            _WHAT,
            False,
            f"none is set, and the gateway asks for one ({error.message})",
            f"Name a file that holds your token with {TOKEN_FILE_VARIABLE}, or log in: sixpoint login -s {server}",
        )
    return Finding(
        _WHAT,
        False,
        f"the gateway does not accept it ({error.message})",
        "It may be for another gateway, or revoked, or its issuer unknown to this gateway: get a new one.",
    )


def _check_times(token: str, origin: str, *, advice: str) -> Finding:
    """Read when a token is valid, without the key to verify it: this tells the person, not the gateway."""
    times, now = token_times(token), datetime.now(UTC)
    if times is None:
        return Finding(_WHAT, True, f"{origin}; it does not say until when it is valid", advice)
    if times.expires and times.expires <= now:
        return Finding(
            _WHAT,
            False,
            f"{origin}; it expired at {_moment(times.expires)}, {_duration(now - times.expires)} ago",
            "Get a new one. If it should still be valid, correct this machine's clock.",
        )
    begins = max((time for time in (times.issued, times.begins) if time), default=now)
    if begins > now + _LEEWAY:
        return Finding(
            _WHAT,
            False,
            f"{origin}; it is valid only from {_moment(begins)}, in {_duration(begins - now)}",
            f"{_SYNCHRONISE} It is probably slow.",
        )
    if times.expires is None:
        return Finding(_WHAT, True, f"{origin}; it does not say until when it is valid", advice)
    left = _duration(times.expires - now)
    return Finding(_WHAT, True, f"{origin}; valid until {_moment(times.expires)}, for another {left}", advice)


def _check_issuer_clock(issuer: str) -> Iterator[Finding]:
    """Compare this machine's clock with the issuer's, as far as its answer shows it."""
    try:
        web = Web(TlsFiles.from_environment().issuer_context())
        Issuer.discover(issuer, web=web)
    except SixpointError as error:
        yield Finding(
            "issuer",
            True,
            f"it does not answer now ({error.message})",
            "The login works until its token expires; then it cannot be renewed.",
        )
        return
    ahead = timedelta(seconds=web.clock_ahead_s or 0.0)
    if abs(ahead) > _LEEWAY:
        relation = "behind" if ahead > timedelta(0) else "ahead of"
        yield Finding("clock", False, f"this machine is {_duration(abs(ahead))} {relation} the issuer", _SYNCHRONISE)


def _variable() -> str:
    return TOKEN_VARIABLE if os.environ.get(TOKEN_VARIABLE) else TOKEN_FILE_VARIABLE


def _exposed() -> str:
    """What is to be said of the file of the token; empty if only its user may read it."""
    path = os.environ.get(TOKEN_FILE_VARIABLE)
    sentences = exposed_files([(TOKEN_FILE_VARIABLE, Path(path))] if path else [])
    return f"{sentences[0][0].upper()}{sentences[0][1:]}." if sentences else ""


def _has_login(server: str) -> bool:
    try:
        return LoginFile(str(resolve_target(server))).version() is not None
    except SixpointError:
        return False


def _moment(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"


def _duration(length: timedelta) -> str:
    seconds = int(length.total_seconds())
    for unit, size in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
