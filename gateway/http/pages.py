"""The plain pages of the HTTP ports: that a gateway works here, its doors, and how to set up the viewer of each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from fastapi import Request, Response

import sixpoint
from gateway.core.access import Activity, Authenticator, Role
from gateway.core.runtime import Catalog
from gateway.http.calls import Call, Handler
from gateway.http.door import CallerAddress, Door
from gateway.http.identity import credentials_of
from gateway.http.path_tokens import principal_in
from sixpoint.errors import PermissionDenied, ResourceExhausted, TritonUnavailable, Unauthenticated

__all__ = ["Pages"]

# What a page repeats of a request is a host's name, whatever else the caller sent.
_HOST = re.compile(r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?")
_PORTS = {"http": 80, "https": 443}


class Pages:
    """Answers people who open an address of the gateway in a browser.

    Args:
        doors: The doors.
        catalog: Models that can be used now.
        authenticator: Turns credentials into principals: only those who may see models are told of them.
    """

    def __init__(self, doors: Sequence[Door], *, catalog: Catalog, authenticator: Authenticator) -> None:
        self._doors = doors
        self._catalog = catalog
        self._authenticator = authenticator

    async def index(self, call: Call) -> Response:
        """``GET /``: list the doors."""
        addresses = [str(_address(call.request, door.name)) for door in self._doors]
        width = max(map(len, addresses), default=0)
        lines = [f"  {address:{width}}  for {door.title}" for address, door in zip(addresses, self._doors, strict=True)]
        return _page([f"This is a gateway of sixpoint {sixpoint.__version__}. It works. Viewers connect to:", *lines])

    def of(self, door: Door) -> Handler:
        """Return the handler of a door's page."""

        async def show(call: Call) -> Response:
            address = _address(call.request, door.name)
            parts = [
                f"{door.title}: a door of sixpoint {sixpoint.__version__}. It works.",
                f"Address: {address}",
                door.guide(address).strip(),
                "\n".join(await self._models(call, door)),
            ]
            return _page(["\n\n".join(part for part in parts if part)])

        return show

    async def _models(self, call: Call, door: Door) -> list[str]:
        try:
            scope = call.request.scope
            principal = principal_in(scope) or await self._authenticator.authenticate(credentials_of(scope))
            if not principal.has(Role.VIEWER):
                raise PermissionDenied("you have no role here; ask whoever manages the gateway's users for one")
            call.limits.check(principal, Activity.CALL)
            models = [model for model in self._catalog.list(tenant=principal.tenant) if door.offers(model)]
        except (Unauthenticated, PermissionDenied, ResourceExhausted) as error:
            return ["Models are listed for those who may use them:", f"  {error.message}"]
        except TritonUnavailable as error:
            return ["Models cannot be listed now:", f"  {error.message}"]
        if not models:
            return ["Models: none is served now"]
        return ["Models:", *(f"  {model.name} {model.version}: {model.spec.title or 'no title'}" for model in models)]


def _page(lines: Sequence[str]) -> Response:
    headers = {"x-content-type-options": "nosniff", "cache-control": "no-store"}
    return Response("\n".join([*lines, ""]), media_type="text/plain; charset=utf-8", headers=headers)


def _address(request: Request, name: str) -> CallerAddress:
    """The address of a door as the caller reaches it, through a proxy, too."""
    headers = request.headers
    scheme = next((each for each in _first(headers.get("x-forwarded-proto")) if each in _PORTS), request.url.scheme)
    texts = (*_first(headers.get("x-forwarded-host")), headers.get("host", ""))
    match = next(filter(None, map(_HOST.fullmatch, texts)), None)
    port = int(match["port"] or _PORTS[scheme]) if match else _PORTS[scheme]
    return CallerAddress(scheme, match["host"] if match else "HOST", port, f"{request.scope['root_path']}/{name}")


def _first(header: str | None) -> Iterator[str]:
    """What the proxy nearest to the caller said."""
    if header:
        yield header.partition(",")[0].strip()
