"""HTTPS to an issuer of tokens: bounded in time and size, without redirects, and without secrets in errors."""

from __future__ import annotations

import email.utils
import http.client
import json
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from sixpoint.errors import InvalidArgument, Unavailable
from sixpoint.errors.shortening import quoted
from sixpoint.protocol import is_loopback_host

__all__ = ["Web", "check_url"]

_TIMEOUT_S = 10.0
# For the whole answer: a server that sends byte by byte never meets the timeout above.
_ANSWER_S = 30.0
_MAX_BYTES = 2**20
_CHUNK_BYTES = 2**16


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A form with a refresh token must reach nobody but whom it was sent to."""

    def redirect_request(self, *_: object, **__: object) -> None:
        return None


class Web:
    """Asks an issuer of tokens.

    Args:
        context: Whom to trust.

    Attributes:
        clock_ahead_s: Seconds by which the clock of the server that answered last is ahead of this machine's, to a
            second or two; None if it did not say.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self.clock_ahead_s: float | None = None

    def get(self, url: str) -> dict[str, Any]:
        """Return the JSON object at a URL.

        Raises:
            InvalidArgument: The URL may not be asked.
            Unavailable: There is no such answer.
        """
        status, content = self._ask(urllib.request.Request(check_url(url)))
        if status != http.client.OK:
            raise Unavailable(f"{_host(url)} answers {status} for {_path(url)}; check the address of the issuer")
        return content

    def post(self, url: str, form: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        """Send a form; return the status and the JSON object of the answer.

        Args:
            url: Where to send it.
            form: Fields by name; empty ones are left out.

        Raises:
            InvalidArgument: The URL may not be asked.
            Unavailable: There is no such answer.
        """
        return self._ask(urllib.request.Request(check_url(url), _encoded(form), {"Accept": "application/json"}))

    def _ask(self, request: urllib.request.Request) -> tuple[int, dict[str, Any]]:
        url = request.full_url
        proxies: dict[str, str] | None = {} if is_loopback_host(urllib.parse.urlsplit(url).hostname or "") else None
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler(proxies),
            urllib.request.HTTPSHandler(context=self._context),
            _NoRedirects(),
        )
        problem = ""
        content: object = None
        status = 0
        try:
            status, content, date = _read(opener, request)
            self.clock_ahead_s = _ahead(date)
        except (OSError, http.client.HTTPException) as error:
            problem = str(getattr(error, "reason", "") or error) or type(error).__name__
            if "CERTIFICATE_VERIFY_FAILED" in problem:
                problem += "; name the file with the authority of its certificate with SIXPOINT_CA_FILE"
        except (ValueError, RecursionError):
            problem = "its answer is not JSON"
        # Outside of the handlers: an error's context would hold the answer, and with it tokens.
        if problem:
            raise Unavailable(f"{_host(url)} gives no usable answer: {problem}")
        if 300 <= status < 400:
            raise Unavailable(f"{_host(url)} redirects {_path(url)} to elsewhere, which is not followed")
        if not isinstance(content, dict):
            raise Unavailable(f"{_host(url)} answers {status} for {_path(url)}, and not in JSON")
        return status, content


def check_url(url: str) -> str:
    """Return a URL that may be asked.

    Raises:
        InvalidArgument: It is not ``https://``, nor ``http://`` on this machine.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        raise InvalidArgument(f"{quoted(url)} is no URL; write https://HOST/PATH") from None
    plain = all("!" <= character <= "~" for character in url)
    allowed = parts.scheme == "https" or (parts.scheme == "http" and is_loopback_host(host))
    if not (plain and host and allowed) or parts.username is not None:
        raise InvalidArgument(
            f"{quoted(url)} cannot be asked for tokens: write https://HOST/PATH. http:// is for this machine only, "
            "since others could read the tokens"
        )
    return url


def _encoded(form: Mapping[str, str]) -> bytes:
    return urllib.parse.urlencode({name: value for name, value in form.items() if value}).encode()


def _read(opener: urllib.request.OpenerDirector, request: urllib.request.Request) -> tuple[int, object, str]:
    """Return status, content and date of an answer; None for the content of a failure that is not in JSON."""
    end = time.monotonic() + _ANSWER_S
    try:
        response = opener.open(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        response = error
    with response:
        data = bytearray()
        while chunk := response.read1(_CHUNK_BYTES):
            data += chunk
            if len(data) > _MAX_BYTES:
                raise OSError(f"it is longer than {_MAX_BYTES} bytes")
            if time.monotonic() > end:
                raise OSError(f"it took longer than {_ANSWER_S:.0f} s")
        status, date = int(response.status or 0), str(response.headers.get("Date") or "")
    if status == http.client.OK and not data:
        # RFC 7009 has no content for a token that was revoked.
        return status, {}, date
    try:
        return status, json.loads(data), date
    except (ValueError, RecursionError):
        if status == http.client.OK:
            raise
        return status, None, date


def _ahead(date: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(date).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None


def _host(url: str) -> str:
    return f"the issuer at {urllib.parse.urlsplit(url).netloc}"


def _path(url: str) -> str:
    return urllib.parse.urlsplit(url).path or "/"
