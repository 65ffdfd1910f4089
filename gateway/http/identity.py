"""Who makes an HTTP request: the credentials that come with it."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from gateway.core.access import Credentials
from sixpoint.protocol import OWNER_KEY, owner_from_metadata

__all__ = ["CERTIFICATE_NAMES", "credentials_of", "peer_of"]

CERTIFICATE_NAMES = "certificate_names"
"""Key of the state of a connection under which the names in the client's certificate are."""

_AUTHORIZATION = "authorization"


def credentials_of(scope: MutableMapping[str, Any], *, path_token: str = "") -> Credentials:
    """Return what a caller presents: headers, a token of the path, and names in a certificate that TLS has verified.

    Args:
        scope: ASGI scope of the request.
        path_token: Token in the path; empty without one.

    Raises:
        InvalidArgument: The owner's name is not valid, or is given twice.
    """
    headers: dict[str, str] = {}
    owners: list[tuple[str, str | bytes]] = []
    for raw, content in scope.get("headers", ()):
        name, value = raw.decode("latin-1").lower(), content.decode("latin-1")
        if name == OWNER_KEY:
            # HTTP has no binary headers: a name that is not ASCII comes as UTF-8.
            owners.append((OWNER_KEY, content.decode("utf-8", "replace")))
        else:
            # A header that came twice is none that can be read, as in gRPC.
            headers[name] = f"{headers[name]}\n{value}" if name in headers else value
    return Credentials(
        authorization=headers.pop(_AUTHORIZATION, ""),
        owner=owner_from_metadata(owners),
        peer=peer_of(scope),
        certificate_names=scope.get("state", {}).get(CERTIFICATE_NAMES, ()),
        headers=headers,
        path_token=path_token,
    )


def peer_of(scope: MutableMapping[str, Any]) -> str:
    """Return the address of the other end of a request's connection, without its port."""
    client = scope.get("client")
    return str(client[0]) if client else ""
