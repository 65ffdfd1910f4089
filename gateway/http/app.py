"""The application of the HTTP port: the doors for viewers, and who may use them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware

from gateway.core.access import Auditor, Authenticator
from gateway.core.runtime import Catalog, DeadlineLimits
from gateway.core.runtime.fairness import Transfers
from gateway.http.calls import CallRules, CallRunner, Handler
from gateway.http.door import Door, HttpRoute
from gateway.http.errors import ErrorForm, HttpRefusal, error_response
from gateway.http.pages import Pages
from gateway.http.path_tokens import PathTokens
from gateway.http.requests.bodies import DEFAULT_HEADERS, announces_body
from gateway.http.requests.turns import InTurns
from sixpoint.errors import InvalidArgument, NotFound, SixpointError

__all__ = ["Door", "HttpRoute", "http_app"]

_NO_ADDRESS = NotFound("there is no such address here; GET / lists the doors of this gateway")
_NO_METHOD = InvalidArgument("this address does not take this method; GET / lists the doors of this gateway")
# What pages of other origins may send and read, besides what browsers always let them.
_REQUEST_HEADERS = (
    "accept",
    "authorization",
    "content-range",
    "content-type",
    "connect-protocol-version",
    "connect-timeout-ms",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "sixpoint-image",
    "sixpoint-owner",
    "traceparent",
)
_ANSWER_HEADERS = (
    "content-disposition",
    "etag",
    "location",
    "retry-after",
    "sixpoint-image",
    *(f"sixpoint-{name}" for name in ("box", "sha256", "voxel-count", "base-revision", "revision", "segment")),
    *(f"sixpoint-{name}" for name in ("step", "step-count", "model", "model-version")),
)


def http_app(
    doors: Sequence[Door],
    *,
    runner: CallRunner,
    authenticator: Authenticator,
    auditor: Auditor,
    origins: Sequence[str],
    catalog: Catalog,
    deadlines: DeadlineLimits,
    transfers: Transfers,
) -> Any:
    """Build the application.

    Args:
        doors: The doors.
        runner: Carries out calls.
        authenticator: Turns tokens in paths into principals.
        auditor: Takes notes of tokens in paths that are refused.
        origins: Origins of web pages that may call (CORS); empty for none.
        catalog: Models that the doors' pages list.
        deadlines: Deadline of the pages.
        transfers: Turns in which requests begin.
    """
    app = FastAPI(title="sixpoint", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.add_exception_handler(HTTPStatus.NOT_FOUND, _refusing(doors, HTTPStatus.NOT_FOUND, _NO_ADDRESS))
    app.add_exception_handler(
        HTTPStatus.METHOD_NOT_ALLOWED, _refusing(doors, HTTPStatus.METHOD_NOT_ALLOWED, _NO_METHOD)
    )

    pages = Pages(doors, catalog=catalog, authenticator=authenticator)

    def add_page(path: str, handle: Handler) -> None:
        endpoint = runner.endpoint(handle, CallRules(f"GET {path}", None, deadlines))
        for spelling in dict.fromkeys((path, path.rstrip("/") or "/")):
            app.add_route(spelling, endpoint, methods=["GET"])  # type: ignore[arg-type]  # ASGI

    add_page("/", pages.index)
    for door in doors:
        for route in door.routes:
            name = f"{route.method} /{door.name}{route.path}"
            rules = CallRules(name, route.role, route.deadlines, short=route.short, error_form=door.error_form)
            endpoint = runner.endpoint(route.handle, rules)
            for path in _spellings(door, route):
                app.add_route(path, endpoint, methods=[route.method])  # type: ignore[arg-type]  # ASGI
        # After its routes: a door may have a page of its own.
        add_page(f"/{door.name}/", pages.of(door))
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(origins),
            allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=_REQUEST_HEADERS,
            expose_headers=_ANSWER_HEADERS,
        )
    guarded = PathTokens(app, authenticator, auditor=auditor, form_of=lambda path: _form_of(doors, path))
    return InTurns(guarded, transfers)


def _spellings(door: Door, route: HttpRoute) -> Iterable[str]:
    """The paths of a route: clients do not follow redirects to the one with, or without, the last slash."""
    at_root = door.at_root and route.path.startswith("/")
    for root in (f"/{door.name}", *([""] if at_root else [])):
        for prefix in ("", *door.prefixes):
            path = f"{root}{prefix}{route.path}"
            yield path
            if path.endswith("/") and path != "/":
                yield path.rstrip("/")


def _methods_at(request: Request) -> list[str]:
    """The methods that the routes of a request's path take."""
    methods = set[str]()
    for route in request.app.routes:
        # 0: it is another path; else this one, for this method or others.
        if route.matches(request.scope)[0].value:
            methods.update(route.methods or ())
    return sorted(methods)


def _form_of(doors: Sequence[Door], path: str) -> ErrorForm:
    """The form of errors of the door that a path leads to."""
    return next((door.error_form for door in doors if f"{path}/".startswith(f"/{door.name}/")), error_response)


def _refusing(
    doors: Sequence[Door], code: HTTPStatus, error: SixpointError
) -> Callable[[Request, Exception], Awaitable[Response]]:
    """Return a handler of requests that no route takes; the door that they were meant for says how errors look."""

    async def refuse(request: Request, failure: Exception) -> Response:
        path = str(request.scope["path"]).removeprefix(request.scope.get("root_path", ""))
        response = _form_of(doors, path)(HttpRefusal(code, error))
        response.headers.update({**DEFAULT_HEADERS, **(getattr(failure, "headers", None) or {})})
        if code == HTTPStatus.METHOD_NOT_ALLOWED:
            # Starlette names the methods of the first route of a path.
            response.headers["allow"] = ", ".join(_methods_at(request))
        if announces_body(request.scope):
            # Nobody reads it.
            response.headers["connection"] = "close"
        return response

    return refuse
