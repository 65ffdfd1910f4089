"""Convert sixpoint's errors to ``google.rpc.Status`` and back, in the gateway and in the client."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, TypeVar
from urllib.parse import quote

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from sixpoint import errors
from sixpoint.errors.shortening import shorten

__all__ = [
    "DETAILS_KEY",
    "STATUS_CODES",
    "error_from_rpc",
    "error_from_status",
    "error_to_status",
    "is_from_gateway",
    "status_code",
]

DOMAIN = "sixpoint"
DETAILS_KEY = "grpc-status-details-bin"
"""Trailing metadata under which gRPC carries a ``google.rpc.Status``."""

STATUS_CODES: dict[type[errors.SixpointError], grpc.StatusCode] = {
    errors.InvalidArgument: grpc.StatusCode.INVALID_ARGUMENT,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.FailedPrecondition: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Aborted: grpc.StatusCode.ABORTED,
    errors.ResourceExhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.Cancelled: grpc.StatusCode.CANCELLED,
    errors.InternalError: grpc.StatusCode.INTERNAL,
    errors.SixpointError: grpc.StatusCode.UNKNOWN,
}
"""gRPC's status code for each branch of the error tree; subclasses inherit it."""

# gRPC refuses trailers of more than 8 KiB, and with them the error. The message is in them twice: as text, in which a
# byte that is not printable ASCII takes three, and in the details, as base64.
_MESSAGE_BYTES = 2000
_VIOLATION_BYTES = 500
_VIOLATIONS = 3
_PLAIN = "".join(character for character in map(chr, range(32, 127)) if character != "%")

_BY_CODE = {code: kind for kind, code in STATUS_CODES.items()}
_BY_NUMBER: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}
_Detail = TypeVar("_Detail", bound=Message)


def status_code(error: errors.SixpointError) -> grpc.StatusCode:
    """The gRPC status code of an error: that of its nearest ancestor in :data:`STATUS_CODES`."""
    return next(STATUS_CODES[kind] for kind in type(error).__mro__ if kind in STATUS_CODES)


def error_to_status(error: errors.SixpointError) -> status_pb2.Status:
    """Convert an error to a status with details: ErrorInfo always, BadRequest and RetryInfo where they apply.

    Long texts are shortened, so that the status fits into the trailers of a call.
    """
    code = status_code(error)
    number: int = code.value[0]
    status = status_pb2.Status(code=number, message=_fitting(error.message, _MESSAGE_BYTES))
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN))
    if error.violations:
        bad = error_details_pb2.BadRequest()
        for violation in error.violations[:_VIOLATIONS]:
            field, description = (
                _fitting(text, _VIOLATION_BYTES // 2) for text in (violation.field, violation.description)
            )
            bad.field_violations.add(field=field, description=description)
        status.details.add().Pack(bad)
    if error.retry_after is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromTimedelta(timedelta(seconds=error.retry_after))
        status.details.add().Pack(retry)
    return status


def _fitting(text: str, budget: int) -> str:
    """Shorten a text until it takes at most ``budget`` bytes in trailers."""
    while (size := len(quote(text, safe=_PLAIN))) > budget:
        text = shorten(text, max(5, len(text) * budget // size))
    return text


def error_from_rpc(failure: grpc.RpcError) -> errors.SixpointError:
    """Convert a failed call to an error: of the class that the server raised, or of the nearest class for its code."""
    code = failure.code() if isinstance(failure, grpc.Call) or hasattr(failure, "code") else grpc.StatusCode.UNKNOWN
    message = str(failure.details() or code.name) if hasattr(failure, "details") else str(failure)
    return _error(_status(failure), code, message)


def error_from_status(packed: bytes) -> errors.SixpointError:
    """Convert a serialized ``google.rpc.Status``, as of a failed action in a stream, to an error."""
    try:
        status = status_pb2.Status.FromString(packed)
    except DecodeError:
        return errors.InternalError("the status of a failed action arrived damaged")
    code = _BY_NUMBER.get(status.code, grpc.StatusCode.UNKNOWN)
    return _error(status, code, status.message or code.name)


def is_from_gateway(failure: grpc.RpcError) -> bool:
    """Whether a gateway raised the failure; gRPC and proxies send no details of sixpoint's."""
    info = _detail(_status(failure), error_details_pb2.ErrorInfo)
    return info is not None and info.domain == DOMAIN


def _error(status: status_pb2.Status, code: grpc.StatusCode, message: str) -> errors.SixpointError:
    info = _detail(status, error_details_pb2.ErrorInfo)
    bad = _detail(status, error_details_pb2.BadRequest)
    retry = _detail(status, error_details_pb2.RetryInfo)
    by_reason = {error.reason: error for error in errors.SixpointError.tree()}
    kind = by_reason.get(info.reason) if info and info.domain == DOMAIN else None
    return (kind or _BY_CODE.get(code, errors.SixpointError))(
        message,
        violations=tuple(errors.Violation(part.field, part.description) for part in bad.field_violations)
        if bad
        else (),
        retry_after=retry.retry_delay.ToTimedelta().total_seconds() if retry else None,
    )


def _status(failure: grpc.RpcError) -> status_pb2.Status:
    status = status_pb2.Status()
    metadata: Iterable[Any] | None = failure.trailing_metadata() if hasattr(failure, "trailing_metadata") else None
    for key, value in metadata or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                status.ParseFromString(value)
            except DecodeError:
                # A proxy may truncate trailers; the code and the message still arrive.
                return status_pb2.Status()
    return status


def _detail(status: status_pb2.Status, kind: type[_Detail]) -> _Detail | None:
    for packed in status.details:
        message = kind()
        try:
            if packed.Unpack(message):
                return message
        except DecodeError:
            # A truncated detail, as above.
            continue
    return None
