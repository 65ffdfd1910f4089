"""The port on which the gateway listens, with TLS or without."""

from __future__ import annotations

import grpc.aio

from gateway.grpc.tls.certificate import ServerCertificate
from sixpoint.errors import Unavailable
from sixpoint.protocol import Address

__all__ = ["listen"]


def listen(
    server: grpc.aio.Server, *, host: str, port: int, certificate: ServerCertificate | None, setting: str
) -> int:
    """Let a server listen.

    Args:
        server: The server.
        host: Address to listen on, an IPv6 address without brackets.
        port: Number of the port; 0 for a free one.
        certificate: Certificate for TLS; None to listen without.
        setting: Name of the setting of the port, for the error message.

    Returns:
        Number of the port.

    Raises:
        Unavailable: The port is taken.
    """
    address = f"{host}:{port}" if host.startswith("unix:") else str(Address(host, port))
    try:
        if certificate:
            return server.add_secure_port(address, certificate.credentials())
        return server.add_insecure_port(address)
    except RuntimeError:
        raise Unavailable(
            f"the gateway cannot listen on {address}: the port is taken, or the address is not this machine's. Choose "
            f"another port with {setting}"
        ) from None
