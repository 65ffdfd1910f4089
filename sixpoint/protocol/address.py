"""The address of a gateway, as people write it."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from urllib.parse import unquote

from sixpoint.errors import InvalidArgument
from sixpoint.errors.shortening import quoted

__all__ = [
    "DEFAULT_SERVER",
    "SERVER_VARIABLE",
    "Address",
    "Target",
    "is_loopback_host",
    "is_loopback_listener",
    "parse_address",
    "resolve_target",
]

_HOST = "127.0.0.1"
_PORT = 50051

DEFAULT_SERVER = f"{_HOST}:{_PORT}"
"""Address of a gateway on this machine."""

SERVER_VARIABLE = "SIXPOINT_SERVER"
"""Environment variable with the address of the gateway, for clients that are given none."""

# Target names of gRPC, which its channels resolve themselves.
_GRPC_TARGET = re.compile(r"(?:dns:|ipv4:|ipv6:|unix:|unix-abstract:|vsock:|passthrough:///|xds:)(?!\d+$)")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_PLACE = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|(?P<name>[^\s:/?#@\[\]]+))(?::(?P<port>.*))?", re.DOTALL
)
_SOCKET_FILE = ("unix:", "unix-abstract:")
_IP_TARGET = re.compile(r"ipv[46]:(?=[^/])")
_EXPECTED = "write HOST:PORT, for example gpu1:50051, or HOST alone for port 50051"
_TLS = "https"
_TLS_PORT = 443


@dataclass(frozen=True)
class Address:
    """Host and port of a gateway. ``str(address)`` is host:port, with an IPv6 host in brackets.

    Attributes:
        host: Name, IPv4 address, or IPv6 address without brackets.
        port: Number of the port, 1 to 65535.
        tls: Whether the gateway is reached over TLS; ``https://`` before the address says so.
    """

    host: str
    port: int
    tls: bool = False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Target:
    """What a client connects to. ``str(target)`` is what a person writes for it.

    Attributes:
        name: Target name of gRPC, such as host:port.
        tls: Whether to connect with TLS.
    """

    name: str
    tls: bool = False

    @property
    def is_private(self) -> bool:
        """Whether nobody else can read what is sent: over TLS, or on this machine only."""
        if self.tls or self.name.startswith(_SOCKET_FILE):
            return True
        # Of gRPC's own targets, only those of IP addresses may be several, with commas between them.
        prefix = _IP_TARGET.match(self.name)
        places = self.name[prefix.end() :].split(",") if prefix else [self.name]
        return all(_is_loopback(place) for place in places)

    def __str__(self) -> str:
        return f"{_TLS}://{self.name}" if self.tls else self.name


def is_loopback_host(host: str) -> bool:
    """Whether a host is this machine itself: ``localhost``, or an IP address such as 127.0.0.1 or ::1."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_loopback_listener(host: str) -> bool:
    """Whether only programs of this machine reach an address to listen on: a loopback host, or a Unix socket."""
    return host.startswith(("unix:", "unix-abstract:")) or is_loopback_host(host)


def _is_loopback(place: str) -> bool:
    try:
        return is_loopback_host(parse_address(unquote(place)).host)
    except InvalidArgument:
        return False


def parse_address(text: str) -> Address:
    """Read an address: ``host:port``, ``[IPv6]:port``, or a host without a port, which means port 50051.

    ``https://`` before it means TLS; the port is then 443 unless it is given.

    Args:
        text: Address as a person writes it.

    Raises:
        InvalidArgument: The text is no address; the message says what to write instead.
    """
    given = text.strip()
    scheme = _SCHEME.fullmatch(given)
    tls = scheme is not None and scheme[1].lower() == _TLS
    if scheme and tls:
        given = scheme[2].removesuffix("/")
    elif scheme:
        try:
            place = f"write {parse_address(scheme[2].rstrip('/'))}"
        except InvalidArgument:
            place = _EXPECTED
        raise InvalidArgument(
            f"the address of a gateway has no {scheme[1]}:// before it, since it speaks gRPC, not HTTP: {place}; "
            "only https:// may stand there, for TLS"
        )
    if given.count(":") > 1 and "[" not in given and re.fullmatch(r"[0-9A-Fa-f:.]+(%[\w.-]+)?", given):
        raise InvalidArgument(
            f"the IPv6 address {quoted(given)} needs brackets: write [ADDRESS]:PORT, for example [::1]:{_PORT}"
        )
    match = _PLACE.fullmatch(given)
    if match is None:
        raise InvalidArgument(f"{quoted(text)} is no address of a gateway: {_EXPECTED}")
    port = match["port"]
    if port is None:
        return Address(match["v6"] or match["name"], _TLS_PORT if tls else _PORT, tls)
    if not (port.isascii() and port.isdecimal() and 1 <= int(port[:6]) <= 65535 and len(port) <= 5):
        raise InvalidArgument(f"{quoted(text)} has no port from 1 to 65535 behind its colon: {_EXPECTED}")
    return Address(match["v6"] or match["name"], int(port), tls)


def resolve_target(target: str | None) -> Target:
    """Return the target that a client connects to.

    Args:
        target: Address as :func:`parse_address` takes it, or a target name of gRPC such as ``unix:/run/gateway.sock``
            or ``dns:///gpu1:50051``; None for that of SIXPOINT_SERVER, and without it 127.0.0.1:50051.

    Raises:
        InvalidArgument: The target, or the value of SIXPOINT_SERVER, is no address.
    """
    if target is not None:
        if _GRPC_TARGET.match(target):
            return Target(target)
        address = parse_address(target)
        return Target(str(address), address.tls)
    value = os.environ.get(SERVER_VARIABLE, "").strip()
    if not value:
        return Target(DEFAULT_SERVER)
    try:
        return resolve_target(value)
    except InvalidArgument as error:
        raise InvalidArgument(f"{SERVER_VARIABLE}: {error.message}") from error
