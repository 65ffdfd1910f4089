"""The address of a gateway's HTTP port, or of one of its doors, as people type it into a viewer."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from sixpoint.errors import InvalidArgument
from sixpoint.errors.shortening import quoted
from sixpoint.protocol import Address, is_loopback_host

__all__ = ["HttpUrl", "door_name", "has_scheme", "parse_url", "without_tokens"]

_PORTS = {"http": 80, "https": 443}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_TOKEN = re.compile(r"/t/[^/]*")
_EXPECTED = "write http://HOST:PORT or https://HOST:PORT, for example http://127.0.0.1:8000"


@dataclass(frozen=True)
class HttpUrl:
    """An address. ``str(url)`` shows no token.

    Attributes:
        address: Host and port, and whether it is HTTPS.
        path: Path without the last slash; empty for the whole port.
    """

    address: Address
    path: str = ""

    @property
    def scheme(self) -> str:
        """``http`` or ``https``."""
        return "https" if self.address.tls else "http"

    @property
    def origin(self) -> str:
        """The address without its path."""
        port = "" if self.address.port == _PORTS[self.scheme] else f":{self.address.port}"
        host = f"[{self.address.host}]" if ":" in self.address.host else self.address.host
        return f"{self.scheme}://{host}{port}"

    @property
    def has_token(self) -> bool:
        """Whether a token is in the path."""
        return bool(_TOKEN.match(self.path))

    @property
    def is_private(self) -> bool:
        """Whether nobody else can read what is sent."""
        return self.address.tls or is_loopback_host(self.address.host)

    def at(self, path: str) -> HttpUrl:
        """The same host and port with another path."""
        return replace(self, path=path)

    def __str__(self) -> str:
        return self.origin + without_tokens(self.path)


def without_tokens(text: str) -> str:
    """Return a text without the tokens of the paths in it."""
    return _TOKEN.sub("/t/...", text)


def door_name(address: str) -> str:
    """Return the name of a door from the address that a gateway's page lists."""
    return _TOKEN.sub("", urlsplit(address).path, count=1).strip("/")


def has_scheme(text: str) -> bool:
    """Whether an address says by which protocol it is reached."""
    return _SCHEME.match(text) is not None


def parse_url(text: str) -> HttpUrl:
    """Read an address with its scheme.

    Raises:
        InvalidArgument: It is none; the message shows no token.
    """
    shown = quoted(without_tokens(text))
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError:
        raise InvalidArgument(f"{shown} is no address; {_EXPECTED}") from None
    scheme = parts.scheme.lower()
    if scheme not in _PORTS:
        raise InvalidArgument(f"an address of viewers begins with http:// or https://, not {quoted(scheme)}://")
    if parts.username is not None:
        raise InvalidArgument("the address has a name and a password, which the gateway does not take; leave them out")
    if not parts.hostname or port == 0 or re.search(r"\s", text.strip()):
        raise InvalidArgument(f"{shown} has no host, or no port that can be; {_EXPECTED}")
    if parts.query or parts.fragment:
        raise InvalidArgument(f"{shown} goes on behind the path (? or #); leave that out")
    return HttpUrl(Address(parts.hostname, port or _PORTS[scheme], tls=scheme == "https"), parts.path.rstrip("/"))
