"""Who makes a call: the credentials that come with it, and the principal that servicers pass to the core."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import unquote

import grpc.aio

from gateway.core.access import Credentials, Principal
from sixpoint.errors import InternalError, Unauthenticated
from sixpoint.protocol import OWNER_KEY, owner_from_metadata

__all__ = ["CallContext", "credentials_of", "peer_of", "principal_of", "until_expiry"]

_Context = grpc.aio.ServicerContext[Any, Any]
_AUTHORIZATION = "authorization"
_NAMES = ("x509_subject_alternative_name", "x509_common_name")


class CallContext:
    """The context of a call whose caller is known; everything else is the context's.

    Attributes:
        principal: Who makes the call.
    """

    def __init__(self, context: _Context, principal: Principal) -> None:
        self._context = context
        self.principal = principal

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)


def principal_of(context: object) -> Principal:
    """Return who makes a call.

    Args:
        context: Context that the interceptor passed to a servicer.

    Raises:
        InternalError: The call did not pass the interceptor, so that its caller was not checked.
    """
    if not isinstance(context, CallContext):
        raise InternalError("the caller of a call was not checked; nothing was done")
    return context.principal


def credentials_of(context: _Context) -> Credentials:
    """Return what a caller presents: metadata, and the names in a client certificate that TLS has verified.

    Raises:
        InvalidArgument: The owner's name is not valid, or is given twice.
    """
    metadata = context.invocation_metadata() or ()
    headers: dict[str, str] = {}
    for key, value in metadata:
        if isinstance(value, str) and not key.startswith(OWNER_KEY):
            # A header that came twice is none that can be read: a comma, as HTTP joins them, would make one list of
            # the roles that a proxy states and of those that its caller claims.
            headers[key] = f"{headers[key]}\n{value}" if key in headers else value
    certificate = context.auth_context()
    names = [name.decode(errors="replace") for key in _NAMES for name in certificate.get(key, ())]
    return Credentials(
        authorization=headers.pop(_AUTHORIZATION, ""),
        owner=owner_from_metadata(metadata),
        peer=peer_of(context),
        certificate_names=tuple(dict.fromkeys(names)),
        headers=headers,
    )


@contextlib.asynccontextmanager
async def until_expiry(principal: Principal) -> AsyncIterator[None]:
    """Run a block for as long as the proof of who the caller is holds.

    Raises:
        Unauthenticated: The proof ended.
    """
    left = None if principal.expires is None else max(principal.expires - time.time(), 0.0)
    scope = asyncio.timeout(left)
    try:
        async with scope:
            yield
    except TimeoutError:
        if not scope.expired():
            raise
        raise Unauthenticated("your credentials expired during the stream; renew them, and open another one") from None


def peer_of(context: _Context) -> str:
    """Return the address of the other end of a call's connection, without its port."""
    # ipv4:127.0.0.1:50051, ipv6:%5B::1%5D:50051, or unix:
    kind, _, rest = unquote(context.peer()).partition(":")
    return rest.rpartition(":")[0].strip("[]") if kind in ("ipv4", "ipv6") else kind
