"""Errors as HTTP answers: one table of codes, one form of the body."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Mapping
from http import HTTPStatus

from fastapi import Response
from fastapi.responses import JSONResponse

from sixpoint import errors

__all__ = [
    "HTTP_CODES",
    "ErrorForm",
    "HttpRefusal",
    "as_refusal",
    "error_headers",
    "error_response",
    "with_frame_advice",
]

_log = logging.getLogger(__name__)

_CLIENT_CLOSED_REQUEST = 499
# The end of a message on points outside of an image, which is for the command line and the SDK.
_FRAME_OPTIONS = re.compile(r": --frame ([a-z|]+), or frame='[a-z' =or]+$")

HTTP_CODES: Mapping[type[errors.SixpointError], int] = {
    errors.InvalidArgument: HTTPStatus.BAD_REQUEST,
    errors.Unauthenticated: HTTPStatus.UNAUTHORIZED,
    errors.PermissionDenied: HTTPStatus.FORBIDDEN,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.FailedPrecondition: HTTPStatus.CONFLICT,
    errors.Aborted: HTTPStatus.CONFLICT,
    errors.ResourceExhausted: HTTPStatus.TOO_MANY_REQUESTS,
    errors.StorageFull: HTTPStatus.INSUFFICIENT_STORAGE,
    errors.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.DeadlineExceeded: HTTPStatus.GATEWAY_TIMEOUT,
    # What nginx writes for it; nobody reads the answer.
    errors.Cancelled: _CLIENT_CLOSED_REQUEST,
    errors.InternalError: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.SixpointError: HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""HTTP's status code for each branch of the error tree; subclasses inherit it."""


class HttpRefusal(Exception):
    """An error for which HTTP has a code of its own.

    Args:
        code: The code.
        error: The error.
        form: Form of the answer; None for that of the door.
    """

    def __init__(self, code: int, error: errors.SixpointError, *, form: ErrorForm | None = None) -> None:
        super().__init__(error.message)
        self.code = code
        self.error = error
        self.form = form


ErrorForm = Callable[[HttpRefusal], Response]
"""Function that returns the answer for an error, in the form that a door's clients understand."""


def as_refusal(failure: Exception) -> HttpRefusal:
    """Return a failure as the error that its caller is told, with its code; one that nobody expected is logged."""
    if isinstance(failure, HttpRefusal):
        return failure
    if isinstance(failure, errors.SixpointError):
        return HttpRefusal(next(HTTP_CODES[kind] for kind in type(failure).__mro__ if kind in HTTP_CODES), failure)
    if isinstance(failure, ExceptionGroup) and len(failure.exceptions) == 1:
        return as_refusal(failure.exceptions[0])
    _log.error("unexpected exception", exc_info=failure)
    return HttpRefusal(500, errors.InternalError("internal error of the gateway; its log has the details"))


def with_frame_advice(message: str, *, named: bool) -> str:
    """Return a message with advice on frames that a caller over HTTP can follow.

    Args:
        message: Message of an error.
        named: Whether callers name the frame of their points, as the contract does; viewers send voxel indices only.
    """

    def advise(match: re.Match[str]) -> str:
        frames = " or ".join(f"FRAME_{name.upper()}" for name in match[1].split("|"))
        return f": give {frames} as frame" if named else "; send voxel indices (x, y, z)"

    return _FRAME_OPTIONS.sub(advise, message)


def error_response(refusal: HttpRefusal) -> JSONResponse:
    """Return the answer for an error: ``{"detail": sentence, "reason": reason of the error tree}``."""
    content = {"detail": with_frame_advice(refusal.error.message, named=False), "reason": refusal.error.reason}
    return JSONResponse(content, status_code=refusal.code, headers=error_headers(refusal))


def error_headers(refusal: HttpRefusal) -> dict[str, str]:
    """Return the headers of the answer for an error, whatever its form."""
    headers = {}
    if refusal.error.retry_after:
        headers["retry-after"] = str(math.ceil(refusal.error.retry_after))
    if refusal.code == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    return headers
