"""The first checks of ``sixpoint doctor``: name, connection, and the gateway's certificate."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sixpoint.client import TlsFiles
from sixpoint.errors import InvalidArgument
from sixpoint.protocol import Address, parse_address, resolve_target

__all__ = ["Finding", "check_certificate", "check_connection", "check_port", "expects_tls"]

_CONNECT_TIMEOUT_S = 5.0
_SOON = timedelta(days=14)
_NOBODY_LISTENS = (
    "Start a gateway there (`make serve`), or name another with --server or SIXPOINT_SERVER. If it runs, check "
    "the firewall in between, and whether it listens on 127.0.0.1 only (SIXPOINT_HOST=0.0.0.0 for all)."
)


@dataclass(frozen=True)
class Finding:
    """The result of one check. Its attributes are the keys of ``sixpoint doctor --json``.

    Attributes:
        what: Name of the part that was checked.
        well: Whether it works.
        seen: What the check observed.
        advice: Action to take where it does not work.
    """

    what: str
    well: bool
    seen: str
    advice: str = ""


def check_connection(server: str) -> Iterator[Finding]:
    """Check the address, the connection and, with TLS, the certificates.

    Args:
        server: Address of the gateway.
    """
    try:
        target = resolve_target(server)
    except InvalidArgument as error:
        yield Finding("address", False, error.message, "Correct the argument, --server, or SIXPOINT_SERVER.")
        return
    try:
        address = parse_address(str(target))
    except InvalidArgument:
        yield Finding("connection", True, f"{target} is a target name of gRPC, and left to it")
        return
    connection = check_port(address)
    yield connection
    if connection.well and address.tls:
        yield check_certificate(address)


def expects_tls(target: str) -> bool:
    """Whether the server at an address speaks TLS, whoever it is; False for a target name of gRPC's own."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        _handshake(parse_address(target), context)
    except (InvalidArgument, OSError, ValueError):
        return False
    return True


def check_port(address: Address, *, advice: str = _NOBODY_LISTENS) -> Finding:
    """Check the name and the port of an address.

    Args:
        address: The address.
        advice: What to do if nothing listens there.
    """
    host, port = address.host, address.port
    try:
        addresses = {str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError) as error:
        return Finding("name", False, f"{host} cannot be resolved ({error})", "Check the name, or your network's DNS.")
    started = time.perf_counter()
    try:
        # Like gRPC, this tries the addresses one by one.
        with socket.create_connection((host, port), timeout=_CONNECT_TIMEOUT_S) as connection:
            peer = str(connection.getpeername()[0])
    except (OSError, OverflowError) as error:
        return Finding(
            "connection",
            False,
            f"nothing listens at {' or '.join(sorted(addresses))}, port {port} ({error})",
            advice,
        )
    milliseconds = (time.perf_counter() - started) * 1000
    return Finding("connection", True, f"{peer}, port {port}, in {milliseconds:.1f} ms")


def check_certificate(address: Address, *, protocol: str = "h2") -> Finding:
    """Check the certificate of the server at an address.

    Args:
        address: The address.
        protocol: What is to be spoken over TLS.
    """
    try:
        certificate = _handshake(address, TlsFiles.from_environment().context(), protocol=protocol)
    except InvalidArgument as error:
        return Finding("certificate", False, error.message, "Correct the variable, or unset it.")
    except ssl.SSLCertVerificationError as error:
        if "not yet valid" in error.verify_message:
            return Finding(
                "certificate",
                False,
                f"the certificate of {address} is not valid yet at {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
                "This machine's clock is probably slow: synchronise it (NTP).",
            )
        return Finding(
            "certificate",
            False,
            f"the certificate of {address} is not accepted: {error.verify_message.rstrip('.')}",
            "If an authority of your own signed it, name the authority's file with SIXPOINT_CA_FILE. If it is for "
            "another name, use that name. If it has expired, its operator must renew it; check this machine's clock.",
        )
    except OSError as error:
        # In TLS 1.3 a server says only afterwards that it wants a client's certificate: gRPC's call will show that.
        return Finding(
            "certificate",
            False,
            f"{address} did not finish the TLS handshake ({getattr(error, 'reason', None) or error})",
            "If it is a gateway without TLS, write its address without https://. If it asks for a certificate, name "
            "yours with SIXPOINT_CLIENT_CERT_FILE and SIXPOINT_CLIENT_KEY_FILE.",
        )
    end = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), UTC)
    names = ", ".join(value for _, value in certificate.get("subjectAltName", ()))
    soon = "It expires soon: its operator must renew it." if end - datetime.now(UTC) < _SOON else ""
    return Finding("certificate", True, f"accepted, for {names}, until {end:%Y-%m-%d}", soon)


def _handshake(
    address: Address, context: ssl.SSLContext, *, protocol: str = "h2"
) -> dict[str, tuple[tuple[str, str], ...]]:
    """Do a TLS handshake; return the server's certificate as :meth:`ssl.SSLSocket.getpeercert` does."""
    context.set_alpn_protocols([protocol])
    with (
        socket.create_connection((address.host, address.port), timeout=_CONNECT_TIMEOUT_S) as connection,
        context.wrap_socket(connection, server_hostname=address.host) as secured,
    ):
        certificate: dict[str, tuple[tuple[str, str], ...]] = secured.getpeercert()  # type: ignore[assignment]
        return certificate
