"""Checks of identity: who may call, and whether the gateway could tell."""

from __future__ import annotations

import stat
import time
from collections.abc import Iterator

from gateway.authentication import check_exposure
from gateway.authentication.token_file import read_entries
from gateway.doctor.clocks import http_clock_ahead, judge_clock
from gateway.settings import Settings
from sixpoint.cli.doctor.connection import Finding
from sixpoint.errors import InvalidArgument, SixpointError

__all__ = ["check_identity"]


def check_identity(settings: Settings) -> Iterator[Finding]:
    """Check the methods of authentication, and what each needs."""
    methods = settings.auth_methods
    tls = settings.tls_cert_file is not None
    try:
        check_exposure(host=settings.host, methods=methods, tls=tls, insecure=settings.insecure)
    except InvalidArgument as error:
        yield Finding("identity", False, error.message, "The gateway does not start with these settings.")
    else:
        yield _judge_methods(settings)
    if methods & {"tokens", "mtls"}:
        yield _check_tokens(settings)
    if "oidc" in methods:
        yield from _check_issuer(settings)


def _judge_methods(settings: Settings) -> Finding:
    names = " and ".join(sorted(settings.auth_methods))
    if "none" in settings.auth_methods:
        seen, advice = "SIXPOINT_AUTH is none: whoever reaches the port is believed, as an admin", ""
    else:
        seen, advice = f"callers prove who they are by {names}", ""
    if settings.insecure and not settings.listens_on_loopback:
        advice = "SIXPOINT_INSECURE is set: let only a proxy that knows its callers reach the port."
    return Finding("identity", True, seen, advice)


def _check_tokens(settings: Settings) -> Finding:
    what, path = "file of tokens", settings.tokens_file
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        entries = read_entries(path.read_bytes())
    except OSError as error:
        advice = "Make it with `gateway token new`, or correct SIXPOINT_TOKENS_FILE."
        return Finding(what, False, f"{path} cannot be read ({error.strerror})", advice)
    except InvalidArgument as error:
        return Finding(what, False, error.message, "The gateway does not start with it.")
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        seen = f"{path} has the mode {mode:04o}: others may write to it, and so let themselves in"
        return Finding(what, False, seen, "chmod 600 keeps it to its owner.")
    ended = sum(entry.expires is not None and entry.expires <= time.time() for entry in entries.values())
    seen = f"entries that are valid: {len(entries) - ended}, expired: {ended}"
    if len(entries) == ended:
        return Finding(what, False, seen, "Nobody can call: add an entry with `gateway token new`.")
    return Finding(what, True, seen)


def _check_issuer(settings: Settings) -> Iterator[Finding]:
    # Imported here: PyJWT takes a while to import.
    from gateway.authentication.oidc import IssuerDocuments

    try:
        keys = IssuerDocuments(settings.oidc_issuer, authority=settings.oidc_ca_file).keys()
    except SixpointError as error:
        yield Finding("issuer of tokens", False, error.message, "Without its keys, tokens cannot be verified.")
        return
    seen = f"{settings.oidc_issuer} publishes {len(keys)} keys"
    yield Finding("issuer of tokens", bool(keys), seen, "" if keys else "Without keys, tokens cannot be verified.")
    ahead = http_clock_ahead(settings.oidc_issuer, authority=settings.oidc_ca_file)
    if ahead is not None:
        yield judge_clock("issuer of tokens", ahead)
