"""Credentials in the path of a URL, for viewers that cannot send headers: ``/t/TOKEN/rest/of/the/path``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import replace
from typing import Any

from gateway.core.access import NO_AUDIT, NOBODY, Auditor, Authenticator, Principal, note_refusal
from gateway.http.errors import ErrorForm, as_refusal, error_response
from gateway.http.identity import credentials_of, peer_of
from gateway.http.requests.bodies import DEFAULT_HEADERS, announces_body
from sixpoint.errors import SixpointError

__all__ = ["PathTokens", "principal_in"]

_Scope = MutableMapping[str, Any]
_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
_App = Callable[[_Scope, _Receive, _Send], Awaitable[None]]

_PREFIX = "/t/"
_STATE, _PRINCIPAL = "state", "principal"
_POLICY_VIOLATION = 1008
# A page must not tell the next site its own address, nor may the address be found in a shared cache.
_HEADERS = ((b"referrer-policy", b"no-referrer"), (b"cache-control", b"private, no-store"))
_REPLACED = frozenset(name for name, _ in _HEADERS)


class PathTokens:
    """ASGI middleware: turns a token at the beginning of the path into the principal of the request.

    The application finds the principal by :func:`principal_in`. It sees the path behind the token as its own, since the
    part with the token becomes its root path: links that it builds have the token. Requests without such a path pass
    unchanged, and without a principal.

    Args:
        app: The application.
        authenticator: Turns credentials into principals.
        auditor: Takes notes of tokens that are refused.
        form_of: Function that returns the form of errors for a path, which is given without the token.
    """

    def __init__(
        self,
        app: _App,
        authenticator: Authenticator,
        *,
        auditor: Auditor = NO_AUDIT,
        form_of: Callable[[str], ErrorForm] = lambda _: error_response,
    ) -> None:
        self._app = app
        self._authenticator = authenticator
        self._auditor = auditor
        self._form_of = form_of

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Handle a request."""
        root = scope.get("root_path", "")
        path = str(scope.get("path", "")).removeprefix(root)
        if scope["type"] not in ("http", "websocket") or not path.startswith(_PREFIX):
            await self._app(scope, receive, send)
            return
        token, _, rest = path.removeprefix(_PREFIX).partition("/")
        private = _with_headers(send)
        try:
            # An empty token is none that is valid, not none at all.
            principal = await self._authenticator.authenticate(credentials_of(scope, path_token=token or " "))
        except SixpointError as error:
            note_refusal(self._auditor, replace(NOBODY, peer=peer_of(scope)), "path token", error)
            await _refuse(scope, receive, private, error, self._form_of(f"/{rest}"))
            return
        root = f"{root}{_PREFIX}{token}"
        inner = {
            **scope,
            "root_path": root,
            # The root path is part of the path (ASGI 3.0).
            "path": f"{root}/{rest}",
            _STATE: {**scope.get(_STATE, {}), _PRINCIPAL: principal},
        }
        await self._app(inner, receive, private)


def principal_in(scope: _Scope) -> Principal | None:
    """Return the principal of a request; None without a token in its path."""
    principal = scope.get(_STATE, {}).get(_PRINCIPAL)
    return principal if isinstance(principal, Principal) else None


def _with_headers(send: _Send) -> _Send:
    async def sending(message: _Message) -> None:
        if message["type"] in ("http.response.start", "websocket.accept"):
            own = [(name, value) for name, value in message.get("headers", ()) if name.lower() not in _REPLACED]
            message = {**message, "headers": [*own, *_HEADERS]}
        await send(message)

    return sending


async def _refuse(scope: _Scope, receive: _Receive, send: _Send, error: SixpointError, form: ErrorForm) -> None:
    if scope["type"] == "websocket":
        # Before it is accepted, that is HTTP 403.
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
        return
    response = form(as_refusal(error))
    response.headers.update(DEFAULT_HEADERS)
    if announces_body(scope):
        # Nobody reads it.
        response.headers["connection"] = "close"
    await response(scope, receive, send)
