"""Errors as calls end with them: which class they are, and how gRPC is told."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from typing import Any, NoReturn

import grpc
import grpc.aio

from sixpoint.errors import InternalError, SixpointError
from sixpoint.protocol import DETAILS_KEY, error_to_status, status_code

__all__ = ["AbortArguments", "abort", "abort_arguments", "as_sixpoint_error", "forgetting_frames"]

_log = logging.getLogger(__name__)

_Context = grpc.aio.ServicerContext[Any, Any]
AbortArguments = tuple[grpc.StatusCode, str, tuple[tuple[str, bytes]]]
"""Code, text and metadata of an error."""


async def abort(context: _Context, arguments: AbortArguments) -> NoReturn:
    """End a call with an error.

    gRPC keeps the exception that it raises for it, and that the frames that it went through, until the next garbage
    collection. Those of a thousand refused calls kept the event loop waiting.
    """
    with forgetting_frames():
        await context.abort(*arguments)


@contextlib.contextmanager
def forgetting_frames() -> Iterator[None]:
    """Let the exception of an abort within the block refer to no frames once gRPC has caught it: see :func:`abort`."""
    try:
        yield
    except grpc.aio.AbortError as aborted:
        asyncio.get_running_loop().call_soon(_forget_frames, aborted)
        raise


def _forget_frames(error: Exception) -> None:
    error.__traceback__ = None


def as_sixpoint_error(failure: Exception) -> SixpointError:
    """Return a failure as the error that its caller is told; one that nobody expected is logged."""
    if isinstance(failure, SixpointError):
        return failure
    if isinstance(failure, ExceptionGroup) and len(failure.exceptions) == 1:
        # From the tasks of a stream.
        return as_sixpoint_error(failure.exceptions[0])
    _log.error("unexpected exception", exc_info=failure)
    return InternalError("internal error of the gateway; its log has the details")


def abort_arguments(error: SixpointError) -> tuple[AbortArguments, str]:
    """Return the arguments to abort a call with, and the error's reason; neither refers to the error."""
    status = error_to_status(error)
    return (status_code(error), status.message, ((DETAILS_KEY, status.SerializeToString()),)), error.reason
