"""Whether a gateway may listen where it should: one that believes everybody, or reads tokens in the clear, may not."""

from __future__ import annotations

from collections.abc import Collection

from gateway.core.access import Method
from sixpoint.errors import InvalidArgument
from sixpoint.protocol import is_loopback_listener

__all__ = ["check_exposure", "check_http_exposure"]


def check_exposure(*, host: str, methods: Collection[Method], tls: bool, insecure: bool) -> None:
    """Refuse settings with which others could use the gateway as whom they like.

    Args:
        host: Address to listen on.
        methods: Methods of authentication; "none" alone believes everybody.
        tls: Whether the port has a certificate.
        insecure: Whether the operator wants it so.

    Raises:
        InvalidArgument: They are such settings.
    """
    if insecure or is_loopback_listener(host):
        return
    if "none" in methods:
        raise InvalidArgument(
            f"SIXPOINT_HOST={host} lets other machines in, and SIXPOINT_AUTH=none believes everybody: set "
            "SIXPOINT_AUTH to tokens, oidc, mtls or proxy (docs/how-to/identity.md), or listen on 127.0.0.1. "
            "SIXPOINT_INSECURE=1 serves whoever reaches the port, as an admin"
        )
    if not tls:
        raise InvalidArgument(
            f"SIXPOINT_HOST={host} lets other machines in, and without TLS everybody on the way can read tokens: set "
            "SIXPOINT_TLS_CERT_FILE and SIXPOINT_TLS_KEY_FILE. Behind a proxy that ends TLS, on a network that only "
            "it can reach, set SIXPOINT_INSECURE=1"
        )


def check_http_exposure(*, host: str, insecure: bool) -> None:
    """Refuse to serve HTTP without TLS to other machines.

    Args:
        host: Address to listen on.
        insecure: Whether the operator wants it so.

    Raises:
        InvalidArgument: Other machines reach the port.
    """
    if not insecure and not is_loopback_listener(host):
        raise InvalidArgument(
            f"SIXPOINT_HTTP_PORT is without TLS, and SIXPOINT_HOST={host} lets other machines in, so that everybody on "
            "the way could read tokens and images: set SIXPOINT_HTTPS_PORT instead. Behind a proxy that ends TLS, on a "
            "network that only it can reach, set SIXPOINT_INSECURE=1"
        )
