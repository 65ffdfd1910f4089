"""Fetch what an issuer of tokens publishes: its metadata and its keys."""

from __future__ import annotations

import http.client
import json
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from sixpoint.errors import InvalidArgument, Unavailable
from sixpoint.protocol import is_loopback_host

__all__ = ["IssuerDocuments", "check_url"]

_MAX_BYTES = 2**20
_BLOCK = 2**16
_SECONDS = 5.0
_METADATA = "/.well-known/openid-configuration"


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: what an issuer publishes is where its metadata says it is."""

    def redirect_request(self, *_: object, **__: object) -> None:
        return None


class IssuerDocuments:
    """The documents of an issuer (OpenID Connect Discovery 1.0, RFC 8414).

    Args:
        issuer: URL of the issuer, as its tokens have it.
        authority: PEM file with the authorities to trust for its certificate; None for those of the system.

    Raises:
        InvalidArgument: The URL is not https, or the file cannot be used.
    """

    def __init__(self, issuer: str, *, authority: Path | None = None) -> None:
        self._issuer = check_url(issuer, what="SIXPOINT_OIDC_ISSUER")
        try:
            context = ssl.create_default_context(cafile=authority)
        except OSError as error:
            raise InvalidArgument(
                "SIXPOINT_OIDC_CA_FILE cannot be used: name a file with certificates in PEM form"
            ) from error
        self._opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _NoRedirects())

    def keys(self) -> list[dict[str, Any]]:
        """Fetch the keys with which tokens are signed, as the issuer publishes them (JWKS). It blocks for seconds.

        Raises:
            Unavailable: The issuer cannot be reached, or publishes something else.
        """
        metadata = self._get(self._issuer.rstrip("/") + _METADATA)
        if metadata.get("issuer") != self._issuer:
            raise Unavailable(
                "the metadata at SIXPOINT_OIDC_ISSUER are another issuer's; set it to what they have as issuer, to the "
                "letter"
            )
        try:
            address = check_url(str(metadata.get("jwks_uri")), what="the jwks_uri of the issuer's metadata")
        except InvalidArgument as error:
            raise Unavailable(error.message) from error
        keys = self._get(address).get("keys")
        if not isinstance(keys, list):
            raise Unavailable("the issuer publishes no keys at its jwks_uri")
        return [key for key in keys if isinstance(key, dict)]

    def _get(self, url: str) -> dict[str, Any]:
        end = time.monotonic() + _SECONDS
        content = bytearray()
        try:
            with self._opener.open(url, timeout=_SECONDS) as response:
                while block := response.read1(_BLOCK):
                    content += block
                    if len(content) > _MAX_BYTES:
                        raise Unavailable(f"the issuer of tokens answers with more than {_MAX_BYTES >> 20} MiB")
                    # The timeout is one of each read.
                    if time.monotonic() > end:
                        raise TimeoutError
            document = json.loads(content)
        except urllib.error.HTTPError as error:
            error.close()
            raise Unavailable(f"the issuer of tokens answers with HTTP {error.code}") from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise Unavailable(
                f"the issuer of tokens cannot be reached ({type(reason).__name__}); see SIXPOINT_OIDC_ISSUER and "
                "SIXPOINT_OIDC_CA_FILE"
            ) from None
        except (ValueError, RecursionError):
            raise Unavailable("the issuer of tokens answers with something that is no JSON") from None
        if not isinstance(document, dict):
            raise Unavailable("the issuer of tokens answers with something that is no object of JSON")
        return document


def check_url(url: str, *, what: str) -> str:
    """Return a URL that is https, or http on this machine.

    Args:
        url: The URL.
        what: What has this URL, for the error message.

    Raises:
        InvalidArgument: It is neither.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        parts, host = urllib.parse.urlsplit(""), ""
    encrypted = parts.scheme == "https" or (parts.scheme == "http" and is_loopback_host(host))
    if not host or not encrypted or parts.username:
        raise InvalidArgument(f"{what} is a URL that begins with https:// (http:// only on this machine)")
    return url
