"""DICOMweb for viewers: what they ask is passed on to one server, piece by piece, and so are its answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, MutableMapping
from typing import TYPE_CHECKING, Any

from fastapi import Response

from gateway.core.access import Action, Activity, AuditEntry, Role
from gateway.core.runtime import DeadlineLimits
from gateway.core.runtime.fairness import Places, Turns
from gateway.http.calls import Call
from gateway.http.dicomweb.pacs import Pacs
from gateway.http.dicomweb.replacing import Replacing
from gateway.http.dicomweb.requests import check_query, read_path, store_path
from gateway.http.door import HttpRoute
from gateway.http.errors import HttpRefusal
from sixpoint.errors import Cancelled, InvalidArgument, NotFound, Unavailable

if TYPE_CHECKING:
    import httpx

__all__ = ["DicomwebProxy", "dicomweb_routes"]

_NO_SERVER = "this gateway has no DICOMweb server; whoever manages it can name one in SIXPOINT_DICOMWEB_URL"
_MAX_ACCEPT, _MAX_CONTENT_TYPE = 1024, 512
_MAX_ANSWER_BYTES = 8 * 2**20
_LOOK_BYTES = 2**22
_TYPES = ("application/dicom", "application/json", "application/octet-stream", "application/pdf", "image/")
_MORE_TYPES = ("multipart/related", "video/")
# Whatever the server sends, a browser must not run it as a page of the gateway's.
_HEADERS = {
    "cache-control": "private, no-store",
    "content-security-policy": "default-src 'none'; sandbox",
    "x-content-type-options": "nosniff",
}


class DicomwebProxy:
    """Passes requests on.

    Args:
        pacs: The server; None without one.
        turns: Turns of requests.
        uploads: Places of uploads.
        max_body_bytes: Largest body that is stored.
    """

    def __init__(self, pacs: Pacs | None, *, turns: Turns, uploads: Places, max_body_bytes: int) -> None:
        self._pacs = pacs
        self._turns = turns
        self._uploads = uploads
        self._max_body_bytes = max_body_bytes

    async def read(self, call: Call) -> Response:
        """``GET``: searches, headers, pixels."""
        pacs = self._server(call)
        path = read_path(call.request.path_params["path"])
        query = check_query(call.request.query_params.multi_items())
        await call.stack.enter_async_context(self._turns.take())
        headers = {"accept": _short(call.request.headers.get("accept", "*/*"), "Accept", _MAX_ACCEPT)}
        answer = await call.stack.enter_async_context(pacs.ask("GET", path, query=query, headers=headers))
        call.auditor.note(AuditEntry(call.principal, Action.CALL, call.route))
        return _PassedOn(answer, call, Replacing(pacs.access.url, _own_url(call)))

    async def store(self, call: Call) -> Response:
        """``POST``: files to be stored; what counts is what the server says that it stored."""
        pacs = self._server(call)
        path = store_path(call.request.path_params["path"])
        content_type = _short(call.request.headers.get("content-type", ""), "Content-Type", _MAX_CONTENT_TYPE)
        if not content_type.lower().startswith("multipart/related"):
            raise HttpRefusal(
                415, InvalidArgument("files are stored as multipart/related, with application/dicom parts")
            )
        call.limits.check(call.principal, Activity.UPLOAD)
        headers = {"accept": "application/dicom+json", "content-type": content_type}
        length = call.request.headers.get("content-length", "")
        if length.isdecimal():
            if int(length[:20]) > self._max_body_bytes:
                raise self._too_large()
            headers["content-length"] = str(int(length[:20]))
        async with (
            self._uploads.take(),
            pacs.ask("POST", path, headers=headers, content=self._body(call), accepted=(200, 202, 409)) as answer,
        ):
            code, body = answer.status_code, await _whole(answer)
        call.auditor.note(AuditEntry(call.principal, Action.CALL, call.route))
        if code == 200 and not await asyncio.to_thread(_stored, body):
            # Orthanc answers so for files without UIDs, which it does not keep.
            code = 409
        replaced = Replacing(pacs.access.url, _own_url(call))
        body = replaced.feed(body) + replaced.end()
        return Response(body, status_code=code, media_type="application/dicom+json", headers=_HEADERS)

    def _server(self, call: Call) -> Pacs:
        if self._pacs is None:
            raise NotFound(_NO_SERVER)
        self._pacs.check(call.principal)
        return self._pacs

    async def _body(self, call: Call) -> AsyncIterator[bytes]:
        received = 0
        async for chunk in call.chunks():
            received += len(chunk)
            if received > self._max_body_bytes:
                raise self._too_large()
            yield chunk

    def _too_large(self) -> HttpRefusal:
        error = InvalidArgument(
            f"the body is too large: expected at most {self._max_body_bytes} bytes (SIXPOINT_MAX_IMAGE_BYTES)"
        )
        return HttpRefusal(413, error)


def dicomweb_routes(proxy: DicomwebProxy, *, deadlines: DeadlineLimits) -> list[HttpRoute]:
    """Return the routes of the proxy, within MONAI Label's door: where OHIF looks for it."""
    return [
        HttpRoute("GET", "/proxy/dicom/{path:path}", proxy.read, Role.VIEWER, deadlines),
        HttpRoute("POST", "/proxy/dicom/{path:path}", proxy.store, Role.ANNOTATOR, deadlines),
    ]


class _PassedOn(Response):
    """The answer of the server, passed on while it comes."""

    def __init__(self, answer: httpx.Response, call: Call, replacing: Replacing) -> None:
        kind = answer.headers.get("content-type", "")
        known = kind.lower().startswith((*_TYPES, *_MORE_TYPES)) and len(kind) <= _MAX_CONTENT_TYPE
        headers = {**_HEADERS, "content-type": kind if known else "application/octet-stream"}
        self._replacing = replacing if "json" in kind else None
        length = answer.headers.get("content-length", "")
        if length.isdecimal() and not self._replacing:
            headers["content-length"] = length
        super().__init__(status_code=answer.status_code, headers=headers)
        if "content-length" not in headers:
            del self.headers["content-length"]
        self._answer = answer
        self._call = call

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Send it, piece by piece."""
        del scope, receive
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        sent = looked = 0
        async for piece in self._answer.aiter_raw(2**18):
            content = self._replacing.feed(piece) if self._replacing else piece
            await send({"type": "http.response.body", "body": content, "more_body": True})
            sent += len(piece)
            if sent - looked > _LOOK_BYTES:
                looked = sent
                # A client that is gone takes all at once.
                if await self._call.request.is_disconnected():
                    raise Cancelled("the client closed the connection")
        await send({"type": "http.response.body", "body": self._replacing.end() if self._replacing else b""})


async def _whole(answer: httpx.Response) -> bytes:
    body = bytearray()
    async for piece in answer.aiter_raw():
        body += piece
        if len(body) > _MAX_ANSWER_BYTES:
            raise Unavailable("the DICOMweb server answers too much to what was stored; look there what it has")
    return bytes(body)


def _stored(body: bytes) -> bool:
    """Whether an answer names anything that was stored."""
    try:
        content = json.loads(body)
        items = content.get("00081199", {}).get("Value") if isinstance(content, dict) else None
    except (ValueError, AttributeError, RecursionError):
        return False
    return bool(items)


def _own_url(call: Call) -> str:
    """The proxy's base URL, as its caller reaches it."""
    url = call.request.url
    before = call.request.url.path.partition("/proxy/dicom/")[0]
    return f"{url.scheme}://{url.netloc}{before}/proxy/dicom"


def _short(value: str, header: str, limit: int) -> str:
    if len(value) > limit or not value.isascii() or not value.isprintable():
        raise InvalidArgument(f"the header {header} is too long, or has characters that it may not have")
    return value
