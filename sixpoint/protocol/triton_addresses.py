"""The addresses of Tritons, as settings and options name them."""

from __future__ import annotations

import asyncio
import re
import socket
from dataclasses import dataclass

from sixpoint.errors import InvalidArgument, TritonUnavailable
from sixpoint.errors.shortening import quoted

__all__ = ["TritonName", "parse_triton_addresses", "resolve", "resolve_now"]

_RETRY_SECONDS = 2.0
_NAME = re.compile(r"dns:///(?P<host>[^\s:/?#@\[\],]+):(?P<port>\d{1,5})")
_ADDRESS = re.compile(r"(?:dns:)?(?:\[[0-9A-Fa-f:.]+(?:%[\w.-]+)?\]|[^\s:/?#@\[\],]+):(?P<port>\d{1,5})")
# Target names of gRPC, which list addresses themselves.
_LIST = ("ipv4:", "ipv6:")


@dataclass(frozen=True)
class TritonName:
    """A name that DNS resolves to the addresses of several Tritons. ``str(name)`` is dns:///host:port.

    Attributes:
        host: Name to resolve.
        port: Port of Triton's gRPC endpoint, the same at every address.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return f"dns:///{self.host}:{self.port}"


def parse_triton_addresses(text: str) -> tuple[str | TritonName, ...]:
    """Read the addresses of Tritons: host:port, dns:///name:port, or several of them with commas in between.

    Args:
        text: Addresses as a person writes them.

    Returns:
        Each address once, in its order.

    Raises:
        InvalidArgument: A part is no address; the message says what to write.
    """
    for prefix in _LIST:
        text = text.removeprefix(prefix)
    addresses: dict[str | TritonName, None] = {}
    for part in (part.strip() for part in text.split(",")):
        name, address = _NAME.fullmatch(part), _ADDRESS.fullmatch(part)
        if name and _is_port(name["port"]):
            addresses[TritonName(name["host"], int(name["port"]))] = None
        elif (address and _is_port(address["port"])) or part.startswith("unix:"):
            addresses[part] = None
        else:
            raise InvalidArgument(
                f"Triton's address must be host:port, or dns:///name:port for all addresses of a name, several with "
                f"commas in between, each with a port from 1 to 65535; got {quoted(part)}"
            )
    return tuple(addresses)


def _is_port(text: str) -> bool:
    # getaddrinfo takes 70000 for 4464.
    return 1 <= int(text) <= 65535


async def resolve(name: TritonName) -> tuple[str, ...]:
    """Return the addresses host:port that a name stands for now, sorted, without blocking the event loop.

    Raises:
        TritonUnavailable: The name cannot be resolved.
    """
    return await asyncio.to_thread(resolve_now, name)


def resolve_now(name: TritonName) -> tuple[str, ...]:
    """Return the addresses host:port that a name stands for now, sorted.

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
    return tuple(sorted(f"[{host}]:{name.port}" if ":" in host else f"{host}:{name.port}" for host in hosts))
