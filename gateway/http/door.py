"""What a door for viewers is made of: its routes, and what its page says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.core.access import Role
from gateway.core.runtime import DeadlineLimits, Model
from gateway.http.calls import Handler
from gateway.http.errors import ErrorForm, error_response

__all__ = ["CallerAddress", "Door", "Guide", "HttpRoute"]


@dataclass(frozen=True)
class CallerAddress:
    """The address of a door, as its caller reaches it.

    Attributes:
        scheme: ``http`` or ``https``.
        host: Name or address of the host, an IPv6 address in brackets.
        port: Number of the port.
        path: Path of the door, without the last slash; with a token of the caller's, if the caller came with one.
    """

    scheme: str
    host: str
    port: int
    path: str

    def __str__(self) -> str:
        standard = self.port == {"http": 80, "https": 443}[self.scheme]
        return f"{self.scheme}://{self.host}{'' if standard else f':{self.port}'}{self.path}"


Guide = Callable[[CallerAddress], str]
"""Function that returns how to set up the viewer of a door, in a few lines of plain text."""


def _no_guide(_: CallerAddress) -> str:
    return ""


def _any_model(_: Model) -> bool:
    return True


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
        guide: Function that returns how to set up its viewer.
        offers: Function that tells whether its viewers can use a model.
        prefixes: Paths that clients put before those of the routes, if their users typed a longer address.
    """

    name: str
    title: str
    routes: Sequence[HttpRoute]
    at_root: bool = False
    error_form: ErrorForm = error_response
    guide: Guide = _no_guide
    offers: Callable[[Model], bool] = _any_model
    prefixes: Sequence[str] = ()
