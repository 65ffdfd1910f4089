"""Several methods at once: which credentials count, and what is said about those that do not."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.authentication import (
    AnybodyAuthenticator,
    CertificateMethod,
    MethodsAuthenticator,
    PathTokenMethod,
    PeerThrottle,
    ProxyHeaders,
    ProxyMethod,
    TokenFile,
    TokenMethod,
)
from gateway.authentication.refusal import RefusalKind
from gateway.authentication.token_editing import NewEntry, add_entry, new_token, remove_entry, token_digest
from gateway.authentication.token_file import EntryKind
from gateway.core.access import Credentials, Principal, Role
from sixpoint.errors import InvalidArgument, ResourceExhausted, Unauthenticated

HEADERS = ProxyHeaders()
PROXY = ("proxy.clinic.example", "the proxy")


class Setup:
    """An authenticator with all methods that need no issuer."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "tokens.toml"
        self.alice = self.add("alice", roles=Role.ANNOTATOR, tenant="clinic-a")
        self.path_token = self.add("viewer", EntryKind.PATH)
        self.add("pc1", EntryKind.CERTIFICATE, key="pc1.clinic.example")
        self.kinds: list[RefusalKind] = []
        file = TokenFile(self.path, interval=0)
        self.authenticator = MethodsAuthenticator(
            {
                "tokens": TokenMethod(file),
                "path": PathTokenMethod(file),
                "mtls": CertificateMethod(file),
                "proxy": ProxyMethod(frozenset({"the proxy"}), HEADERS),
            },
            headers=HEADERS,
            throttle=PeerThrottle(self.kinds.append),
        )

    def add(
        self,
        name: str,
        kind: EntryKind = EntryKind.HEADER,
        *,
        key: str = "",
        tenant: str = "default",
        roles: Role = Role.VIEWER,
        expires: datetime | None = None,
    ) -> str:
        token = new_token()
        add_entry(self.path, NewEntry(name, kind, name, tenant, roles, expires), key=key or token_digest(token))
        return token

    async def ask(
        self,
        token: str = "",
        *,
        peer: str = "10.0.0.1",
        owner: str = "",
        path: str = "",
        names: tuple[str, ...] = (),
        **headers: str,
    ) -> Principal:
        return await self.authenticator.authenticate(
            Credentials(
                authorization=f"Bearer {token}" if token else headers.pop("authorization", ""),
                owner=owner,
                peer=peer,
                certificate_names=names,
                headers={f"x-sixpoint-{name}": value for name, value in headers.items()},
                path_token=path,
            )
        )


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return Setup(tmp_path)


async def test_each_kind_of_credentials_gives_its_principal(setup: Setup) -> None:
    annotator, viewer = frozenset({Role.ANNOTATOR}), frozenset({Role.VIEWER})
    assert await setup.ask(setup.alice) == Principal("alice", "clinic-a", annotator, "tokens")
    assert await setup.ask(authorization=f"bearer {setup.alice}") == Principal("alice", "clinic-a", annotator, "tokens")
    assert await setup.ask(path=setup.path_token) == Principal("viewer", "default", viewer, "path")
    assert await setup.ask(names=("x", "pc1.clinic.example")) == Principal("pc1", "default", viewer, "mtls")
    said = await setup.ask(subject="bob", tenant="clinic-b", roles="annotator, admin,unknown", names=PROXY)
    assert said == Principal("bob", "clinic-b", frozenset({Role.ANNOTATOR, Role.ADMIN}), "proxy")
    assert await setup.ask(subject="bob", names=PROXY) == Principal("bob", "default", frozenset(), "proxy")
    # Those of a connection's certificate count if nothing else came.
    assert (await setup.ask(setup.alice, names=("pc1.clinic.example",))).subject == "alice"
    assert setup.kinds == []


async def test_an_expiry_is_part_of_the_principal(setup: Setup) -> None:
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    assert (await setup.ask(setup.add("bob", expires=end))).expires == end.timestamp()


async def test_what_is_not_believed(setup: Setup) -> None:
    refused: list[tuple[RefusalKind, dict[str, object]]] = [
        ("missing", {}),
        ("missing", {"names": ()}),
        ("unknown", {"names": ("pc2.clinic.example",)}),
        ("unknown", {"token": new_token()}),
        ("unknown", {"token": setup.path_token}),
        ("unknown", {"token": "eyJ.eyJ.sig"}),
        ("unknown", {"path": setup.alice}),
        ("unknown", {"path": "x"}),
        # Nobody gets in by the certificate of the connection after a token was refused.
        ("unknown", {"token": "sxp_no", "names": ("pc1.clinic.example",)}),
        ("malformed", {"authorization": f"Basic {setup.alice}"}),
        ("malformed", {"authorization": f"Bearer {setup.alice},Bearer {setup.alice}"}),
        ("malformed", {"authorization": f"Bearer {setup.alice} {setup.alice}"}),
        ("malformed", {"authorization": "Bearer "}),
        ("malformed", {"authorization": "Bearer tökén"}),
        ("malformed", {"token": "x" * (16 * 2**10 + 1)}),
        ("proxy", {"subject": "bob"}),
        ("proxy", {"roles": "admin", "names": ("pc1.clinic.example",)}),
        ("claims", {"subject": "bob", "tenant": "Clinic B", "names": PROXY}),
        ("claims", {"subject": "", "names": PROXY}),
        ("claims", {"tenant": "clinic-b", "names": PROXY}),
        ("claims", {"subject": "bob\nx", "names": PROXY}),
        ("several", {"token": setup.alice, "subject": "bob", "names": PROXY}),
        ("several", {"token": setup.alice, "path": setup.path_token}),
    ]
    for number, (kind, credentials) in enumerate(refused):
        with pytest.raises(Unauthenticated, match=r"This gateway takes a token .* or a client certificate") as caught:
            await setup.ask(**credentials, peer=f"10.0.1.{number}")  # type: ignore[arg-type]
        assert setup.kinds[-1] == kind, credentials
        assert setup.alice not in caught.value.message
        assert setup.path_token not in caught.value.message


async def test_who_guesses_is_not_told_whether_a_token_was_ever_valid(setup: Setup) -> None:
    expired = setup.add("bob", expires=datetime.now(UTC) - timedelta(days=1))
    remove_entry(setup.path, "alice")
    messages = set()
    for token in (expired, setup.alice, new_token()):
        with pytest.raises(Unauthenticated) as caught:
            await setup.ask(token)
        messages.add(caught.value.message)
    assert len(messages) == 1
    assert setup.kinds == ["expired", "unknown", "unknown"]


async def test_a_certificate_without_its_entry_is_revoked(setup: Setup) -> None:
    assert (await setup.ask(names=("pc1.clinic.example",))).subject == "pc1"
    remove_entry(setup.path, "pc1")
    with pytest.raises(Unauthenticated, match="the credentials of the call are not valid"):
        await setup.ask(names=("pc1.clinic.example",))


async def test_the_owner_is_the_caller(setup: Setup) -> None:
    assert (await setup.ask(setup.alice, owner="alice")).subject == "alice"
    with pytest.raises(InvalidArgument, match="leave sixpoint-owner"):
        await setup.ask(setup.alice, owner="bob")
    assert setup.kinds == []


async def test_many_failures_are_throttled_and_good_credentials_from_there_are_not(setup: Setup) -> None:
    for _ in range(10):
        with pytest.raises(Unauthenticated):
            await setup.ask(new_token())
    with pytest.raises(ResourceExhausted, match="failed to prove who they are") as caught:
        await setup.ask(new_token())
    assert caught.value.retry_after
    assert 0 < caught.value.retry_after <= 1
    assert (await setup.ask(setup.alice)).subject == "alice"
    with pytest.raises(Unauthenticated):
        await setup.ask(new_token(), peer="10.0.0.2")


async def test_calls_at_once_read_a_changed_file_once(setup: Setup) -> None:
    bob = setup.add("bob")
    # While one of them reads the file, the others are answered by what was there.
    results = await asyncio.gather(*(setup.ask(setup.alice) for _ in range(50)), setup.ask(bob), return_exceptions=True)
    assert not any(isinstance(result, BaseException) for result in results[:50])
    assert (await setup.ask(bob)).subject == "bob"


async def test_headers_of_a_proxy_are_refused_where_no_proxy_is_known(setup: Setup) -> None:
    setup.authenticator = MethodsAuthenticator({}, headers=HEADERS, throttle=PeerThrottle(setup.kinds.append))
    with pytest.raises(Unauthenticated, match="takes no identity headers"):
        await setup.ask(subject="bob", names=PROXY)
    assert setup.kinds == ["proxy"]


async def test_without_authentication_everybody_is_the_admin_they_say_they_are() -> None:
    authenticator = AnybodyAuthenticator(HEADERS)
    assert await authenticator.authenticate(Credentials(owner="ada")) == Principal("ada", "default", {Role.ADMIN})  # type: ignore[arg-type]
    assert (await authenticator.authenticate(Credentials())).subject == ""
    with pytest.raises(Unauthenticated, match="SIXPOINT_AUTH=proxy"):
        await authenticator.authenticate(Credentials(headers={"x-sixpoint-roles": "viewer"}))
