"""The DICOMweb server that the settings name: the only one that is ever asked, with the gateway's own credentials."""

from __future__ import annotations

import contextlib
import json
import logging
import ssl
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.core.access import Principal
from gateway.http.errors import HttpRefusal
from sixpoint.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    ImageNotFound,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Unavailable,
)

if TYPE_CHECKING:
    import httpx

__all__ = ["FoundSeries", "Pacs", "PacsAccess", "open_pacs"]

_CONNECT_S, _IDLE_S = 10.0, 60.0
_CONNECTIONS = 32
_KEPT_CONNECTIONS = _CONNECTIONS // 2
_MAX_JSON_BYTES = 2**20
_STUDY, _INSTANCES = "0020000D", "00201209"
_NO_DICOMWEB = "the DICOMweb server answers what is no DICOMweb (SIXPOINT_DICOMWEB_URL)"
# Of an attribute; DICOM's longest short text.
_MAX_TEXT = 64
_LOGGERS = ("httpx", "httpcore")
_WELL = (200, 202, 204)


@dataclass(frozen=True, repr=False)
class PacsAccess:
    """How the server is reached.

    Attributes:
        url: Base URL.
        authorization: Header Authorization; empty for none.
        ca_file: File with the authorities of its certificate; empty for those of the system.
        tenants: Tenants whose members may use it.
    """

    url: str
    authorization: str = ""
    ca_file: str = ""
    tenants: Collection[str] = ()


@dataclass(frozen=True)
class FoundSeries:
    """A series of the server.

    Attributes:
        study: UID of its study.
        instances: Number of its files; None if the server does not say it.
    """

    study: str
    instances: int | None


class Pacs:
    """Asks the server.

    Args:
        access: How it is reached.
        client: Client without credentials of its environment, and without redirects.
    """

    def __init__(self, access: PacsAccess, client: httpx.AsyncClient) -> None:
        self.access = access
        self._client = client

    def check(self, principal: Principal) -> None:
        """Refuse who may not use the server.

        Raises:
            PermissionDenied: The caller's tenant may not.
        """
        if principal.tenant not in self.access.tenants:
            raise PermissionDenied(
                "your tenant may not use this gateway's DICOMweb server; whoever manages the gateway can list it in "
                "SIXPOINT_DICOMWEB_TENANTS"
            )

    @contextlib.asynccontextmanager
    async def ask(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str],
        content: AsyncIterator[bytes] | None = None,
        accepted: Collection[int] = _WELL,
    ) -> AsyncIterator[httpx.Response]:
        """Ask, and yield the answer, whose body is still to come.

        Args:
            method: HTTP's method.
            path: Path below the base URL, which must have been checked.
            query: Names and values.
            headers: Headers; none of a caller's credentials.
            content: Pieces of the body; None for a request without one.
            accepted: Codes that are no refusal.

        Raises:
            NotFound: The server does not have it.
            InvalidArgument: It refuses the request.
            FailedPrecondition: It refuses this gateway.
            Unavailable: It cannot be reached, or failed.
            DeadlineExceeded: It does not answer.
        """
        with _failures():
            request = self._client.build_request(
                method,
                f"{self.access.url}/{path}",
                params=list(query) or None,
                headers={**headers, "accept-encoding": "identity"},
                content=content,
            )
            if self.access.authorization:
                request.headers["authorization"] = self.access.authorization
            answer = await self._send(request, repeatable=content is None)
        try:
            if answer.status_code not in accepted:
                raise _refusal(answer.status_code)
            with _failures():
                yield answer
        finally:
            await answer.aclose()

    async def _send(self, request: httpx.Request, *, repeatable: bool) -> httpx.Response:
        """Send a request; again while the connection was a kept one, which a server may close at any time."""
        import httpx

        connected = False

        async def note(event: str, _: Mapping[str, object]) -> None:
            nonlocal connected
            connected = connected or event.startswith("connection.connect_tcp")

        request.extensions["trace"] = note
        # Each failure takes a kept connection out of the pool: several may have been closed together.
        for _ in range(_KEPT_CONNECTIONS if repeatable else 0):
            try:
                return await self._client.send(request, stream=True)
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
                if connected:
                    raise
        return await self._client.send(request, stream=True)

    async def find_series(self, uid: str) -> FoundSeries:
        """Find a series by its UID.

        Raises:
            ImageNotFound: There is no such series.
            SixpointError: As :meth:`ask` does.
        """
        series = await self._search(uid, (_STUDY, _INSTANCES))
        try:
            count = (series.get(_INSTANCES, {}).get("Value") or [None])[0]
            return FoundSeries(str(series[_STUDY]["Value"][0]), None if count is None else int(count))
        except (ValueError, LookupError, TypeError, AttributeError):
            raise Unavailable(_NO_DICOMWEB) from None

    async def describe_series(self, uid: str, fields: Mapping[str, str]) -> dict[str, str]:
        """Return what the server says of a series; attributes that it does not say are left out.

        Args:
            uid: UID of the series.
            fields: Names in the answer, and the tags of DICOM that they stand for.

        Raises:
            ImageNotFound: There is no such series.
            SixpointError: As :meth:`ask` does.
        """
        series = await self._search(uid, tuple(fields.values()))
        values = {name: series.get(tag) for name, tag in fields.items()}
        firsts = {
            name: value["Value"][0]
            for name, value in values.items()
            if isinstance(value, dict) and isinstance(value.get("Value"), list) and value["Value"]
        }
        return {name: str(value)[:_MAX_TEXT] for name, value in firsts.items() if isinstance(value, str | int)}

    async def _search(self, uid: str, fields: Sequence[str]) -> dict[str, Any]:
        query = [("SeriesInstanceUID", uid), *(("includefield", field) for field in fields)]
        headers = {"accept": "application/dicom+json"}
        body = bytearray()
        async with self.ask("GET", "series", query=query, headers=headers) as answer:
            async for piece in answer.aiter_raw():
                body += piece
                if len(body) > _MAX_JSON_BYTES:
                    raise Unavailable("the DICOMweb server answers too much to a search for one series")
        try:
            items: Any = json.loads(body) if body else []
            if not items:
                raise ImageNotFound("the DICOMweb server has no such series; open one that it has")
            found: Any = items[0]
        except (ValueError, LookupError, TypeError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise Unavailable(_NO_DICOMWEB)
        return found


@contextlib.asynccontextmanager
async def open_pacs(access: PacsAccess | None) -> AsyncIterator[Pacs | None]:
    """Yield the server; None without one.

    Raises:
        InvalidArgument: The file of authorities cannot be used.
    """
    if access is None:
        yield None
        return
    # Imported here: few gateways have such a server.
    import httpx

    for name in _LOGGERS:
        # Their lines have the UIDs of what is asked for.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        context = ssl.create_default_context(cafile=access.ca_file or None)
    except (OSError, ssl.SSLError):
        raise InvalidArgument("SIXPOINT_DICOMWEB_CA_FILE: the file cannot be read, or holds no certificates") from None
    async with httpx.AsyncClient(
        verify=context,
        follow_redirects=False,
        trust_env=False,
        timeout=httpx.Timeout(_IDLE_S, connect=_CONNECT_S, pool=_IDLE_S),
        limits=httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_KEPT_CONNECTIONS),
    ) as client:
        yield Pacs(access, client)


@contextlib.contextmanager
def _failures() -> Any:
    """Turn what fails on the way to the server into errors of ours, without addresses."""
    import httpx

    try:
        yield
    except httpx.TimeoutException:
        raise DeadlineExceeded("the DICOMweb server behind this gateway does not answer; try again") from None
    except httpx.HTTPError:
        raise Unavailable(
            "the DICOMweb server behind this gateway cannot be reached, or broke off; whoever manages the gateway can "
            "check SIXPOINT_DICOMWEB_URL",
            retry_after=5.0,
        ) from None


def _refusal(code: int) -> Exception:
    if code in (404, 410):
        return NotFound("the DICOMweb server does not have what is asked for")
    if code in (401, 403):
        return FailedPrecondition(
            "the DICOMweb server refuses this gateway; whoever manages it can check SIXPOINT_DICOMWEB_TOKEN"
        )
    if code == 406:
        error = InvalidArgument("the DICOMweb server cannot give this in the media type that is asked for")
        return HttpRefusal(406, error)
    if code in (408, 429) or code >= 500:
        return Unavailable(f"the DICOMweb server could not answer (HTTP {code}); try again", retry_after=5.0)
    return InvalidArgument(f"the DICOMweb server refuses the request (HTTP {code})")
