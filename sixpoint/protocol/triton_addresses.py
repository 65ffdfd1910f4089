"""The addresses of Tritons, as settings and options name them."""

from __future__ import annotations

import asyncio
import re
import socket
from dataclasses import dataclass

from sixpoint.errors import InvalidArgument, TritonUnavailable
from sixpoint.errors.shortening import quoted

__all__ = ["TLS_PREFIX", "TritonName", "parse_triton_addresses", "resolve", "resolve_now", "without_scheme"]

TLS_PREFIX = "SIXPOINT_TRITON_"
"""Beginning of the names of the variables for TLS towards Triton: SIXPOINT_TRITON_CA_FILE and so on."""

_TLS = "https://"
_RETRY_SECONDS = 2.0
_NAME = re.compile(r"dns:///(?P<host>[^\s:/?#@\[\],]+):(?P<port>\d{1,5})")
_ADDRESS = re.compile(r"(?:dns:)?(?:\[[0-9A-Fa-f:.]+(?:%[\w.-]+)?\]|[^\s:/?#@\[\],]+):(?P<port>\d{1,5})")
# Target names of gRPC, which list addresses themselves.
_LIST = ("ipv4:", "ipv6:")


@dataclass(frozen=True)
class TritonName:
    """A name that DNS resolves to the addresses of several Tritons. ``str(name)`` is what a person writes for it.

    Attributes:
        host: Name to resolve.
        port: Port of Triton's gRPC endpoint, the same at every address.
        tls: Whether they are reached over TLS; each one's certificate must be for the name.
    """

    host: str
    port: int
    tls: bool = False

    def __str__(self) -> str:
        return f"{_TLS if self.tls else ''}dns:///{self.host}:{self.port}"


def parse_triton_addresses(text: str) -> tuple[str | TritonName, ...]:
    """Read the addresses of Tritons: host:port, dns:///name:port, or several of them with commas in between.

    ``https://`` before each of them means TLS.

    Args:
        text: Addresses as a person writes them.

    Returns:
        Each address once, in its order, with ``https://`` if it was given.

    Raises:
        InvalidArgument: A part is no address, or only some are with TLS; the message says what to write.
    """
    for prefix in _LIST:
        text = text.removeprefix(prefix)
    addresses: dict[str | TritonName, None] = {}
    parts = [part.strip() for part in text.split(",")]
    secure = [part for part in parts if part.startswith(_TLS)]
    for part in parts:
        place, tls = without_scheme(part)
        name, address = _NAME.fullmatch(place), _ADDRESS.fullmatch(place)
        if name and _is_port(name["port"]):
            addresses[TritonName(name["host"], int(name["port"]), tls)] = None
        elif (address and _is_port(address["port"])) or part.startswith("unix:"):
            addresses[part] = None
        else:
            raise InvalidArgument(
                f"Triton's address must be host:port, or dns:///name:port for all addresses of a name, several with "
                f"commas in between, each with a port from 1 to 65535 and, for TLS, https:// before it; got "
                f"{quoted(part)}"
            )
    if secure and len(secure) < len(parts):
        # The key of their control API would travel in the clear to the others.
        raise InvalidArgument("write https:// before the address of each Triton, or of none")
    return tuple(addresses)


def without_scheme(address: str) -> tuple[str, bool]:
    """Return an address without ``https://``, and whether it had it."""
    return address.removeprefix(_TLS), address.startswith(_TLS)


def _is_port(text: str) -> bool:
    # getaddrinfo takes 70000 for 4464.
    return 1 <= int(text) <= 65535


async def resolve(name: TritonName) -> tuple[str, ...]:
    """Return the addresses that a name stands for now, as host:port, sorted, without blocking the event loop.

    Raises:
        TritonUnavailable: The name cannot be resolved.
    """
    return await asyncio.to_thread(resolve_now, name)


def resolve_now(name: TritonName) -> tuple[str, ...]:
    """Return the addresses that a name stands for now, as host:port (https:// before it for TLS), sorted.

    Raises:
        TritonUnavailable: The name cannot be resolved.
    """
    try:
        resolved = socket.getaddrinfo(name.host, name.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise TritonUnavailable(
            f"{name.host} cannot be resolved to the addresses of Tritons", retry_after=_RETRY_SECONDS
        ) from error
    hosts = {str(entry[4][0]) for entry in resolved}
    places = (f"[{host}]:{name.port}" if ":" in host else f"{host}:{name.port}" for host in hosts)
    return tuple(sorted(f"{_TLS if name.tls else ''}{place}" for place in places))
