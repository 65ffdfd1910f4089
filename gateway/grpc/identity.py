"""Who makes a call: the credentials that come with it, and the principal that servicers pass to the core."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import unquote

import grpc.aio

from gateway.core.access import Credentials, Principal
from sixpoint.errors import InternalError, SixpointError, Unauthenticated, Unavailable
from sixpoint.protocol import OWNER_KEY, owner_from_metadata

__all__ = ["CallContext", "caller_of", "credentials_of", "peer_of", "principal_of", "while_identified"]

_Context = grpc.aio.ServicerContext[Any, Any]
_AUTHORIZATION = "authorization"
_RECHECK_SECONDS = 10.0
_NAMES = ("x509_subject_alternative_name", "x509_common_name")


class CallContext:
    """The context of a call whose caller is known; everything else is the context's.

    Attributes:
        principal: Who makes the call.
        identify: Function that finds out anew whom the credentials of the call are for.
    """

    def __init__(
        self, context: _Context, principal: Principal, *, identify: Callable[[], Awaitable[Principal]]
    ) -> None:
        self._context = context
        self.principal = principal
        self.identify = identify

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)


def principal_of(context: object) -> Principal:
    """Return who makes a call.

    Args:
        context: Context that the interceptor passed to a servicer.

    Raises:
        InternalError: The call did not pass the interceptor, so that its caller was not checked.
    """
    return caller_of(context).principal


def caller_of(context: object) -> CallContext:
    """Return the context of a call as one whose caller is known; see :func:`principal_of`."""
    if not isinstance(context, CallContext):
        raise InternalError("the caller of a call was not checked; nothing was done")
    return context


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
async def while_identified(caller: CallContext) -> AsyncIterator[None]:
    """Run a block for as long as the gateway knows who the caller is: until its credentials end or are revoked.

    Raises:
        Unauthenticated: The credentials ended, are no longer valid, or mean somebody else or other roles by now.
    """
    principal = caller.principal
    left = None if principal.expires is None else max(principal.expires - time.time(), 0.0)
    scope = asyncio.timeout(left)
    try:
        async with scope:
            checking = asyncio.create_task(_recheck(caller, scope))
            try:
                yield
            finally:
                checking.cancel()
    except TimeoutError:
        if not scope.expired():
            raise
        ended = principal.expires is not None and principal.expires <= time.time()
        what = "expired" if ended else "were revoked or changed"
        raise Unauthenticated(f"your credentials {what} during the stream; renew them, and open another one") from None


async def _recheck(caller: CallContext, scope: asyncio.Timeout) -> None:
    """End a scope once the caller's credentials are not what they were."""
    before = caller.principal
    while True:
        await asyncio.sleep(_RECHECK_SECONDS)
        try:
            now = await caller.identify()
        except Unavailable:
            # Nobody can tell at the moment.
            continue
        except SixpointError:
            break
        if (now.tenant, now.subject, now.roles) != (before.tenant, before.subject, before.roles):
            break
    scope.reschedule(asyncio.get_running_loop().time())


def peer_of(context: _Context) -> str:
    """Return the address of the other end of a call's connection, without its port."""
    # ipv4:127.0.0.1:50051, ipv6:%5B::1%5D:50051, or unix:
    kind, _, rest = unquote(context.peer()).partition(":")
    return rest.rpartition(":")[0].strip("[]") if kind in ("ipv4", "ipv6") else kind
