"""Who makes a call: credentials from the wire, principals for servicers, roles, and credentials that end."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import grpc
import grpc.aio
import pytest

from gateway.core.access import AuditEntry, Credentials, Principal, Role
from gateway.grpc.identity import principal_of
from sixpoint.errors import InternalError, PermissionDenied, Unauthenticated, Unavailable
from sixpoint.protocol import error_from_rpc
from tests.gateway.grpc.servers import serving


class KnownNames:
    """Believes the names of a table, and keeps what was presented."""

    def __init__(self, **known: Principal) -> None:
        self.known = known
        self.seen: list[Credentials] = []
        self.away = False

    async def authenticate(self, credentials: Credentials) -> Principal:
        self.seen.append(credentials)
        if self.away:
            raise Unavailable("nobody can tell")
        principal = self.known.get(credentials.authorization.removeprefix("Bearer "))
        if principal is None:
            raise Unauthenticated("who are you?")
        return principal


VIEWER = Principal("ada", "north", frozenset({Role.VIEWER}), "tokens")


async def echo(request: bytes, context: Any) -> bytes:
    principal = principal_of(context)
    return f"{principal.tenant}/{principal.subject}".encode()


async def repeat(requests: Any, context: Any) -> None:
    async for _ in requests:
        await context.write(b"x")


HANDLERS: dict[str, Any] = {
    "Echo": grpc.unary_unary_rpc_method_handler(echo),
    "Repeat": grpc.stream_stream_rpc_method_handler(repeat),
}


async def call(address: str, metadata: tuple[tuple[str, str], ...] = ()) -> bytes:
    async with grpc.aio.insecure_channel(address) as channel:
        echoing: Any = channel.unary_unary("/sixpoint.Test/Echo")
        try:
            return bytes(await echoing(b"", metadata=metadata))
        except grpc.aio.AioRpcError as failure:
            raise error_from_rpc(failure) from None


async def test_the_principal_of_the_credentials_reaches_the_servicer() -> None:
    names = KnownNames(one=VIEWER)
    async with serving(HANDLERS, authenticator=names) as address:
        metadata = (("authorization", "Bearer one"), ("x-forwarded-user", "eve"), ("sixpoint-owner", "ada"))
        assert await call(address, metadata) == b"north/ada"
    (seen,) = names.seen
    assert (seen.authorization, seen.owner, seen.peer) == ("Bearer one", "ada", "127.0.0.1")
    assert seen.headers["x-forwarded-user"] == "eve"
    assert seen.certificate_names == ()
    assert not {"authorization", "sixpoint-owner"} & set(seen.headers)
    assert "Bearer" not in repr(seen)


async def test_a_call_without_credentials_or_role_does_not_reach_the_servicer() -> None:
    async with serving(HANDLERS, authenticator=KnownNames(one=VIEWER), role=Role.ANNOTATOR) as address:
        with pytest.raises(Unauthenticated, match="who are you"):
            await call(address)
        with pytest.raises(PermissionDenied, match="needs the role annotator, and you have the role viewer"):
            await call(address, (("authorization", "Bearer one"),))


async def test_a_header_that_comes_twice_cannot_be_taken_for_a_list() -> None:
    names = KnownNames(one=VIEWER)
    async with serving(HANDLERS, authenticator=names) as address:
        roles = (("x-sixpoint-roles", "admin"), ("x-sixpoint-roles", "viewer"))
        with pytest.raises(Unauthenticated):
            await call(address, (("authorization", "Bearer one"), ("authorization", "Bearer one"), *roles))
    (seen,) = names.seen
    # No header has an end of line.
    assert seen.authorization == "Bearer one\nBearer one"
    assert seen.headers["x-sixpoint-roles"] == "admin\nviewer"


async def test_a_stream_ends_when_its_credentials_do_and_a_call_with_old_ones_is_the_authenticators() -> None:
    soon = Principal("ada", "north", frozenset({Role.VIEWER}), "oidc", expires=time.time() + 0.5)
    async with (
        serving(HANDLERS, authenticator=KnownNames(one=soon)) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        repeating: Any = channel.stream_stream("/sixpoint.Test/Repeat")
        stream = repeating(metadata=(("authorization", "Bearer one"),))
        await stream.write(b"")
        assert await stream.read() == b"x"
        with pytest.raises(grpc.aio.AioRpcError, match="credentials expired during the stream") as failure:
            async with asyncio.timeout(10):
                await stream.read()
    assert failure.value.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("change", ["revoked", "other roles", "away"])
async def test_a_stream_ends_when_its_credentials_are_revoked_or_changed(
    change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.grpc.identity._RECHECK_SECONDS", 0.05)
    names = KnownNames(one=VIEWER)
    async with serving(HANDLERS, authenticator=names) as address, grpc.aio.insecure_channel(address) as channel:
        repeating: Any = channel.stream_stream("/sixpoint.Test/Repeat")
        stream = repeating(metadata=(("authorization", "Bearer one"),))
        await stream.write(b"")
        assert await stream.read() == b"x"
        if change == "revoked":
            names.known.clear()
        elif change == "other roles":
            names.known["one"] = replace(VIEWER, roles=frozenset({Role.ADMIN}))
        else:
            names.away = True
            # Until it can be told again, the stream goes on.
            await asyncio.sleep(0.3)
            await stream.write(b"")
            assert await stream.read() == b"x"
            stream.cancel()
            return
        with pytest.raises(grpc.aio.AioRpcError, match="were revoked or changed during the stream") as failure:
            async with asyncio.timeout(10):
                await stream.read()
    assert failure.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_a_servicer_that_nobody_guards_does_nothing() -> None:
    with pytest.raises(InternalError, match="not checked"):
        principal_of(object())


class Notes:
    """Keeps the entries for the audit log."""

    def __init__(self) -> None:
        self.entries: list[AuditEntry] = []

    def note(self, entry: AuditEntry) -> None:
        self.entries.append(entry)


async def test_refused_calls_are_noted_for_the_audit_log() -> None:
    notes = Notes()
    async with serving(HANDLERS, authenticator=KnownNames(one=VIEWER), role=Role.ADMIN, auditor=notes) as address:
        for metadata in ((), (("authorization", "Bearer one"),)):
            with pytest.raises((Unauthenticated, PermissionDenied)):
                await call(address, metadata)
    noted = [(each.principal.tenant, each.principal.subject, each.object, each.outcome) for each in notes.entries]
    assert noted == [("", "", "Echo", "UNAUTHENTICATED"), ("north", "ada", "Echo", "PERMISSION_DENIED")]
    assert {each.principal.peer for each in notes.entries} == {"127.0.0.1"}
