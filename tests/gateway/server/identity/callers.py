"""Callers of a gateway with TLS: what they present, and how they are answered."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import trustme

from gateway.authentication.token_editing import NewEntry, add_entry, new_token, token_digest
from gateway.authentication.token_file import EntryKind
from gateway.core.access import Role
from gateway.server import Gateway
from sixpoint.protocol import error_from_rpc
from sixpoint.v1 import session_service_pb2 as session_pb
from sixpoint.v1 import session_service_pb2_grpc as session_grpc
from tests.support.servers import running_gateway

__all__ = ["Answer", "Site", "ask", "metadata"]


@dataclass(frozen=True)
class Answer:
    """How a call ended: the name of the code, the reason of the error, its text."""

    code: str
    reason: str = ""
    text: str = ""


class Site:
    """Certificates, a file of tokens, and gateways that use them.

    Args:
        folder: Folder for the files.
    """

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.folder = folder
        self.tokens = folder / "tokens.toml"
        self.by_name: dict[str, str] = {}
        self.authority.cert_pem.write_to_path(folder / "ca.pem")
        self.write_certificate()

    def write_certificate(self) -> None:
        """Write a new certificate of the gateway."""
        issued = self.authority.issue_cert("127.0.0.1")
        issued.private_key_pem.write_to_path(self.folder / "tls.key")
        (self.folder / "tls.crt").write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))

    def token(
        self, name: str, *, tenant: str = "clinic-a", role: Role = Role.ANNOTATOR, kind: EntryKind = EntryKind.HEADER
    ) -> str:
        """Make a token; :attr:`by_name` has it, too."""
        token = self.by_name[name] = new_token()
        add_entry(self.tokens, NewEntry(name, kind, name, tenant, role, None), key=token_digest(token))
        return token

    def admit(self, name: str, *, role: Role = Role.ANNOTATOR) -> None:
        """Admit a client's certificate."""
        add_entry(self.tokens, NewEntry(name, EntryKind.CERTIFICATE, name, "clinic-a", role, None), key=name)

    @contextlib.contextmanager
    def serving(self, **settings: Any) -> Iterator[Gateway]:
        """Run a gateway with TLS."""
        values: dict[str, object] = {
            "ready": False,
            "triton_url": "127.0.0.1:1",
            "tls_cert_file": self.folder / "tls.crt",
            "tls_key_file": self.folder / "tls.key",
            "tokens_file": self.tokens,
            "oidc_tenant_claim": "tenant",
        }
        with running_gateway(**values | settings) as gateway:  # type: ignore[arg-type]
            yield gateway

    @contextlib.contextmanager
    def channel(self, gateway: Gateway, *names: str, authority: trustme.CA | None = None) -> Iterator[grpc.Channel]:
        """Connect; with names, by a client certificate for these names."""
        key = chain = None
        if names:
            issued = (authority or self.authority).issue_cert(*names)
            key = issued.private_key_pem.bytes()
            chain = b"".join(part.bytes() for part in issued.cert_chain_pems)
        credentials = grpc.ssl_channel_credentials((self.folder / "ca.pem").read_bytes(), key, chain)
        options = (("grpc.use_local_subchannel_pool", 1),)
        with grpc.secure_channel(f"127.0.0.1:{gateway.port}", credentials, options) as channel:
            yield channel

    def ask(self, gateway: Gateway, *headers: tuple[str, str], names: tuple[str, ...] = ()) -> Answer:
        """List the sessions, on a connection of its own."""
        with self.channel(gateway, *names) as channel:
            return ask(channel, *headers)


def ask(channel: grpc.Channel, *headers: tuple[str, str]) -> Answer:
    """List the sessions."""
    stub: Any = session_grpc.SessionServiceStub(channel)
    try:
        stub.ListSessions(session_pb.ListSessionsRequest(), metadata=headers, timeout=20)
    except grpc.RpcError as failure:
        error = error_from_rpc(failure)
        code: Any = failure
        return Answer(code.code().name, error.reason, error.message)
    return Answer("OK")


def metadata(token: str) -> tuple[str, str]:
    """Metadata with a token."""
    return "authorization", f"Bearer {token}"
