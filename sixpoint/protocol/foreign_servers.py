"""Recognise servers that are no gateway by how a call to them fails."""

from __future__ import annotations

import re

import grpc

from sixpoint.protocol.status import is_from_gateway

__all__ = ["closed_at_once", "describe_foreign_server", "describe_tls_failure"]

# The texts are gRPC's, which has no codes for these: with another text the general error remains.
_HTTP_STATUS = re.compile(r"status: (\d{3})")
_OTHER_PROTOCOL = ("Failed parsing HTTP/2", "http1.x server", "Expected SETTINGS frame")
_PYTHON_SERVER = "Method not found!"
_NO_TLS = "WRONG_VERSION_NUMBER"
_NOT_TRUSTED = re.compile(r"CERTIFICATE_VERIFY_FAILED: ([\w ()-]+)")
_OTHER_NAME = re.compile(r"Peer name \S+ is not in peer certificate|Hostname Verification Check failed")
_CLOSED = ("Socket closed", "Connection reset by peer")


def describe_foreign_server(failure: grpc.RpcError) -> str:
    """Say whose server answered instead of a gateway; empty if the failure does not show one.

    Args:
        failure: Failure of a call.
    """
    code, details = _code_and_details(failure)
    if is_from_gateway(failure):
        return ""
    if code is grpc.StatusCode.UNAVAILABLE:
        # Not a status like 503, which a proxy sends while the gateway restarts.
        if any(text in details for text in _OTHER_PROTOCOL):
            return "the server there does not speak gRPC, like an HTTP server; a gateway's port is usually 50051"
        return ""
    if status := _HTTP_STATUS.search(details):
        return f"an HTTP server answers there, with status {status[1]}; a proxy must pass gRPC on to the gateway"
    if code is not grpc.StatusCode.UNIMPLEMENTED:
        return ""
    if details == _PYTHON_SERVER:
        return (
            "the gRPC server there does not know this call: it is another service, or a gateway older than this client"
        )
    return (
        "the gRPC server there does not know this call (UNIMPLEMENTED). NVIDIA Triton answers like this: its port is "
        "usually 8001, a gateway's 50051"
    )


def describe_tls_failure(failure: grpc.RpcError, *, prefix: str = "SIXPOINT_") -> str:
    """Say why a client and a server did not agree on TLS, and what to do; empty if the failure does not show it.

    Args:
        failure: Failure of a call.
        prefix: Beginning of the names of the variables that name the client's files.
    """
    code, details = _code_and_details(failure)
    if code is not grpc.StatusCode.UNAVAILABLE or is_from_gateway(failure):
        return ""
    if _NO_TLS in details:
        return "the server there does not use TLS; write its address without https://"
    if _OTHER_NAME.search(details):
        return "its certificate is for another name; use a name that the certificate has"
    reason = _NOT_TRUSTED.search(details)
    if reason and "expired" in reason[1]:
        return "its certificate has expired; its operator must renew it. If it has not, correct this machine's clock"
    if reason and "not yet valid" in reason[1]:
        return "its certificate is not valid yet; this machine's clock is probably slow: synchronise it"
    if reason:
        return (
            f"its certificate is not trusted ({reason[1].strip()}); name the file with the certificate of the "
            f"authority that signed it with {prefix}CA_FILE"
        )
    return ""


def closed_at_once(failure: grpc.RpcError) -> bool:
    """Whether a server took the connection and closed it, as one does that expects TLS, or a client's certificate.

    Args:
        failure: Failure of a call.
    """
    code, details = _code_and_details(failure)
    connecting = code is grpc.StatusCode.UNAVAILABLE and "failed to connect" in details
    return connecting and any(text in details for text in _CLOSED)


def _code_and_details(failure: grpc.RpcError) -> tuple[grpc.StatusCode | None, str]:
    code: grpc.StatusCode | None = failure.code() if hasattr(failure, "code") else None
    return code, str(failure.details() or "") if hasattr(failure, "details") else ""
