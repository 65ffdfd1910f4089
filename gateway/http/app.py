"""The application of the HTTP port: the doors for viewers, and who may use them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware

from gateway.core.access import Auditor, Authenticator, Role
from gateway.core.runtime import DeadlineLimits
from gateway.http.calls import Call, CallRules, CallRunner, Handler
from gateway.http.errors import ErrorForm, HttpRefusal, error_response
from gateway.http.path_tokens import PathTokens
from sixpoint.errors import InvalidArgument, NotFound

__all__ = ["Door", "HttpRoute", "http_app"]


@dataclass(frozen=True)
class HttpRoute:
    """A route of a door.

    Attributes:
        method: HTTP's method.
        path: Template of the path within the door.
        handle: Function that carries out a call.
        role: Least role of its callers; None for everybody, if it tells nothing of images or people.
        deadlines: Deadline of its calls.
        short: Whether its calls take turns.
    """

    method: str
    path: str
    handle: Handler
    role: Role | None
    deadlines: DeadlineLimits
    short: bool = False


@dataclass(frozen=True)
class Door:
    """The routes of one dialect.

    Attributes:
        name: First part of their paths, and of their names.
        title: What viewers call it.
        routes: The routes.
        at_root: Whether they are served without the first part as well, for clients that insist.
        error_form: Function that returns the answer for an error.
    """

    name: str
    title: str
    routes: Sequence[HttpRoute]
    at_root: bool = False
    error_form: ErrorForm = error_response


def http_app(
    doors: Sequence[Door],
    *,
    runner: CallRunner,
    authenticator: Authenticator,
    auditor: Auditor,
    origins: Sequence[str],
    page: Callable[[], str],
    deadlines: DeadlineLimits,
) -> Any:
    """Build the application.

    Args:
        doors: The doors.
        runner: Carries out calls.
        authenticator: Turns tokens in paths into principals.
        auditor: Takes notes of tokens in paths that are refused.
        origins: Origins of web pages that may call (CORS); empty for none.
        page: Function that returns the text of the page at ``/``.
        deadlines: Deadline of that page.
    """
    app = FastAPI(title="sixpoint", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.add_exception_handler(HTTPStatus.NOT_FOUND, _refuse_address)
    app.add_exception_handler(HTTPStatus.METHOD_NOT_ALLOWED, _refuse_method)

    async def show(call: Call) -> Response:
        del call
        return Response(page(), media_type="text/plain; charset=utf-8")

    app.add_route("/", runner.endpoint(show, CallRules("GET /", None, deadlines)), methods=["GET"])  # type: ignore[arg-type]  # ASGI
    for door in doors:
        for route in door.routes:
            name = f"{route.method} /{door.name}{route.path}"
            rules = CallRules(name, route.role, route.deadlines, short=route.short, error_form=door.error_form)
            endpoint = runner.endpoint(route.handle, rules)
            for path in _spellings(door, route):
                app.add_route(path, endpoint, methods=[route.method])  # type: ignore[arg-type]  # ASGI
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(origins),
            allow_methods=["GET", "HEAD", "POST", "PUT", "DELETE"],
            allow_headers=["authorization", "content-type", "accept"],
        )
    return PathTokens(app, authenticator, auditor=auditor)


def _spellings(door: Door, route: HttpRoute) -> Iterable[str]:
    """The paths of a route: clients do not follow redirects to the one with, or without, the last slash."""
    for prefix in (f"/{door.name}", *([""] if door.at_root else [])):
        yield f"{prefix}{route.path}"
        if route.path.endswith("/") and prefix + route.path != "/":
            yield f"{prefix}{route.path.rstrip('/')}"


async def _refuse_address(request: Request, failure: Exception) -> Response:
    """Answer requests that no route takes."""
    del request, failure
    error = NotFound("there is no such address here; GET / lists the doors of this gateway")
    return error_response(HttpRefusal(HTTPStatus.NOT_FOUND, error))


async def _refuse_method(request: Request, failure: Exception) -> Response:
    """Answer requests with a method that their address does not take."""
    del request, failure
    error = InvalidArgument("this address does not take this method; GET / lists the doors of this gateway")
    return error_response(HttpRefusal(HTTPStatus.METHOD_NOT_ALLOWED, error))
