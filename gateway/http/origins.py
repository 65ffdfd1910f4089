"""Which web pages may call: a page of another site must not use the gateway through the browser of somebody who may."""

from __future__ import annotations

from collections.abc import Collection, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from sixpoint.errors import PermissionDenied
from sixpoint.protocol import is_loopback_host

__all__ = ["OriginPolicy"]

_REMEDY = "whoever manages the gateway can list the page's address in SIXPOINT_HTTP_ORIGINS"


class OriginPolicy:
    """Admits pages that the gateway itself serves, and those of listed origins.

    Args:
        origins: Origins of other pages that may call, such as ``https://viewer.hospital.example``.
        loopback: Whether only this machine reaches the port. A host name that is not this machine's then comes from a
            page whose name leads here (DNS rebinding).
    """

    def __init__(self, origins: Collection[str], *, loopback: bool) -> None:
        self._origins = frozenset(origins)
        self._hosts = frozenset(urlsplit(origin).hostname for origin in origins)
        self._loopback = loopback

    def check(self, scope: MutableMapping[str, Any]) -> None:
        """Refuse a request that a page of another site makes.

        Raises:
            PermissionDenied: It is one.
        """
        headers = {name.lower(): value.decode("latin-1") for name, value in scope.get("headers", ())}
        host, origin = headers.get(b"host", ""), headers.get(b"origin", "")
        name = _host_name(host)
        if self._loopback and name not in self._hosts and not is_loopback_host(name):
            raise PermissionDenied(
                f"this port is for programs on the gateway's machine, and the request names another host; {_REMEDY}"
            )
        if origin and origin not in self._origins and origin != f"{scope.get('scheme', 'http')}://{host}":
            raise PermissionDenied(f"a web page of another site may not call this gateway; {_REMEDY}")


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
