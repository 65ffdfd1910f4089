"""How calls to Triton fail: what its and gRPC's errors mean, as errors of sixpoint."""

from __future__ import annotations

import re

import grpc
import grpc.aio

from sixpoint.errors import DeadlineExceeded, InferenceError, SixpointError, TritonUnavailable
from sixpoint.protocol import closed_at_once, describe_tls_failure
from sixpoint.protocol.triton_addresses import TLS_PREFIX

__all__ = [
    "RETRY_SECONDS",
    "details_of",
    "error_from",
    "lacks_version",
    "tls_problem",
    "unreachable",
    "was_not_answered",
    "was_not_sent",
]

RETRY_SECONDS = 2.0
"""Seconds after which a call may be repeated."""

# In Triton's error for a version that it has released, or never had; it may serve the model in other versions.
_LACKS_VERSION = re.compile(r"is not at ready state|version \d+ is not found")
# Part of gRPC's error for a call that found no connection.
_NO_CONNECTION = "failed to connect"


def lacks_version(error: SixpointError) -> bool:
    """Whether a call failed since Triton does not serve the version, of a model that it may serve in others."""
    return _LACKS_VERSION.search(details_of(error)) is not None


def was_not_sent(error: SixpointError) -> bool:
    """Whether a call failed before it reached Triton."""
    return _NO_CONNECTION in details_of(error)


def was_not_answered(error: SixpointError) -> bool:
    """Whether a call failed since Triton did not answer in time: it hangs, or its machine is gone."""
    cause = error.__cause__
    return isinstance(cause, grpc.aio.AioRpcError) and cause.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def details_of(error: SixpointError) -> str:
    """Return Triton's or gRPC's own words for an error."""
    cause = error.__cause__
    return (cause.details() or "") if isinstance(cause, grpc.aio.AioRpcError) else ""


def unreachable(reason: str = "") -> TritonUnavailable:
    """Return the error for a Triton that cannot be reached, with the reason if it is known."""
    problem = f"Triton cannot be reached: {reason}" if reason else "Triton cannot be reached just now; try again"
    return TritonUnavailable(problem, retry_after=RETRY_SECONDS)


def tls_problem(error: grpc.aio.AioRpcError) -> str:
    """Return why a connection with TLS failed, for the operator; empty if the error does not show it."""
    if closed_at_once(error):
        return (
            f"it closes connections at once; if it speaks TLS, write https:// before its address, and if it asks for a "
            f"certificate, name yours with {TLS_PREFIX}CLIENT_CERT_FILE and {TLS_PREFIX}CLIENT_KEY_FILE"
        )
    return describe_tls_failure(error, prefix=TLS_PREFIX)


def error_from(error: grpc.aio.AioRpcError) -> SixpointError:
    """Return the error of sixpoint for a failed inference."""
    match error.code():
        # NOT_FOUND: the model was unloaded since the last check.
        case grpc.StatusCode.UNAVAILABLE | grpc.StatusCode.NOT_FOUND:
            return unreachable()
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return DeadlineExceeded("the deadline passed while Triton was computing")
        # Triton's error for a model whose process died, for example out of memory; the local Triton restarts it.
        case grpc.StatusCode.INTERNAL if "is not healthy" in (error.details() or ""):
            return unreachable()
        case code:
            return InferenceError(f"Triton refused the request: {code.name}")
