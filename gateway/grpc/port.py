"""The port on which the gateway listens, with TLS or without."""

from __future__ import annotations

import grpc.aio

from gateway.grpc.certificate import ServerCertificate
from gateway.settings import Settings
from sixpoint.errors import Unavailable

__all__ = ["listen"]


def listen(server: grpc.aio.Server, settings: Settings) -> int:
    """Let a server listen as the settings say.

    Returns:
        Number of the port.

    Raises:
        Unavailable: The port is taken.
        InvalidArgument: The files for TLS cannot be used.
    """
    address = f"{settings.host}:{settings.port}"
    credentials = None
    if settings.tls_cert_file and settings.tls_key_file:
        certificate = ServerCertificate(
            settings.tls_cert_file, settings.tls_key_file, client_authority=settings.tls_client_ca_file
        )
        credentials = certificate.credentials()
    try:
        return server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    except RuntimeError:
        raise Unavailable(
            f"the gateway cannot listen on {address}: the port is taken, or the address is not this machine's. Choose "
            f"another port with SIXPOINT_PORT, e.g. SIXPOINT_PORT={settings.port + 1000}"
        ) from None
