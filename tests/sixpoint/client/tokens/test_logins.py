"""A login that was stored: its token is sent, renewed in time, and renewed once, whoever needs it."""

from __future__ import annotations

import base64
import json
import stat
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sixpoint import errors
from sixpoint.client import AsyncClient, Client, Retry
from sixpoint.client.tokens import LoginFile, Token
from tests.sixpoint.client.fake_gateway import EACH_CLIENT, settled
from tests.sixpoint.client.tokens.devices import log_in
from tests.sixpoint.client.tokens.guarded_gateway import GuardedGateway
from tests.support.oidc import OidcProvider, running_oidc_provider

_CHILD = "import sys, sixpoint; sixpoint.Client(sys.argv[1]).models()"


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of settings without logins."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path


def claims(token: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    return content


@EACH_CLIENT
async def test_the_token_of_a_login_is_sent(guarded: GuardedGateway, kind: Any, oidc_provider: OidcProvider) -> None:
    client = kind(guarded.address)
    await settled(client.models())
    log_in(oidc_provider, guarded.address, subject="carol")
    log_in(oidc_provider, "127.0.0.1:1", subject="bob")
    # The client need not be made anew.
    await settled(client.models())
    LoginFile(guarded.address).remove()
    await settled(client.models())
    await settled(client.close())
    (_, none), (_, [header]), (_, none_again) = guarded.headers
    assert none == none_again == []
    expected = {"sub": "carol", "aud": "sixpoint", "tenant": "clinic-a", "roles": ["engineer", "annotator"]}
    assert claims(header).items() >= expected.items()


def test_only_its_user_may_read_it(config: Path, oidc_provider: OidcProvider) -> None:
    login = log_in(oidc_provider, "https://Gateway.example:443")
    file = LoginFile("https://gateway.example:443")
    assert file.load() == login
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700
    assert [path.relative_to(config) for path in config.rglob("*.json")] == [file.path.relative_to(config)]
    assert login.access_token not in repr(login)
    assert login.refresh_token not in repr(login)


@EACH_CLIENT
async def test_it_is_renewed_before_it_expires(guarded: GuardedGateway, kind: Any, oidc_provider: OidcProvider) -> None:
    old = log_in(oidc_provider, guarded.address, lifetime_s=300)
    client = kind(guarded.address)
    await settled(client.models())
    LoginFile(guarded.address).save(replace(old, issued=time.time() - 300, expires=time.time() + 20))
    await settled(client.models())
    await settled(client.models())
    await settled(client.close())
    new = LoginFile(guarded.address).load()
    assert new is not None
    assert [headers for _, headers in guarded.headers] == [
        [f"Bearer {token}"] for token in (old.access_token, new.access_token, new.access_token)
    ]
    assert new.access_token != old.access_token
    assert new.refresh_token != old.refresh_token
    assert new.expires is not None
    assert new.expires - time.time() > 200


@EACH_CLIENT
async def test_a_token_that_the_gateway_does_not_accept_is_renewed_once(
    guarded: GuardedGateway, kind: Any, oidc_provider: OidcProvider
) -> None:
    old = log_in(oidc_provider, guarded.address)
    guarded.accepts = lambda name, token: token != old.access_token
    client = kind(guarded.address, retry=Retry.none())
    await settled(client.models())
    assert len(guarded.headers) == 2
    guarded.accepts = lambda name, token: False
    with pytest.raises(errors.Unauthenticated):
        await settled(client.models())
    assert len(guarded.headers) == 4
    await settled(client.close())


async def test_many_programs_at_once_use_a_refresh_token_once(
    guarded: GuardedGateway, oidc_provider: OidcProvider
) -> None:
    # The provider ends a login of which a refresh token comes a second time.
    login = log_in(oidc_provider, guarded.address, lifetime_s=-1)
    clients = [Client(guarded.address) for _ in range(4)]
    start = threading.Barrier(len(clients))

    def call(client: Client) -> None:
        start.wait(30)
        client.models()

    threads = [threading.Thread(target=call, args=[client]) for client in clients]
    children = [
        subprocess.Popen([sys.executable, "-c", _CHILD, guarded.address], stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(child.communicate(timeout=60)[1], child.returncode) for child in children] == [("", 0)] * 2
    renewed = LoginFile(guarded.address).load()
    assert renewed is not None
    assert guarded.tokens == {renewed.access_token} != {login.access_token}
    # It still can be renewed.
    guarded.accepts = lambda name, token: token != renewed.access_token
    async with AsyncClient(guarded.address) as client:
        await client.models()


def test_while_the_issuer_is_away_a_token_is_used_until_it_expires(guarded: GuardedGateway) -> None:
    with running_oidc_provider() as provider:
        login = log_in(provider, guarded.address, lifetime_s=20)
        LoginFile(guarded.address).save(replace(login, issued=login.issued - 300))
    client = Client(guarded.address, retry=Retry.none())
    client.models()
    client.models()
    assert guarded.tokens == {login.access_token}
    LoginFile(guarded.address).save(replace(login, expires=time.time() - 1))
    host = provider.issuer.removeprefix("http://")
    with pytest.raises(errors.Unavailable, match=f"^the issuer at {host} gives no usable answer: .*refused"):
        client.models()
    client.close()


def test_a_token_is_used_until_it_expires_where_a_new_one_could_not_be_stored(
    guarded: GuardedGateway, oidc_provider: OidcProvider
) -> None:
    login = log_in(oidc_provider, guarded.address, lifetime_s=20)
    file = LoginFile(guarded.address)
    file.save(replace(login, issued=login.issued - 300))
    # Whoever cannot write there, as root can everywhere, cannot make this file, either.
    file.path.with_suffix(".lock").mkdir()
    with Client(guarded.address) as client:
        client.models()
        file.save(replace(login, expires=time.time() - 1))
        with pytest.raises(errors.InvalidArgument, match="cannot be locked: Is a directory"):
            client.models()
    stored = file.load()
    assert stored is not None
    assert stored.refresh_token == login.refresh_token
    assert guarded.tokens == {login.access_token}


def test_a_login_that_the_issuer_ended_says_to_log_in_again(
    guarded: GuardedGateway, oidc_provider: OidcProvider
) -> None:
    login = log_in(oidc_provider, guarded.address, lifetime_s=-1)
    LoginFile(guarded.address).save(replace(login, refresh_token=Token("worthless")))
    with Client(guarded.address) as client, pytest.raises(errors.Unauthenticated) as caught:
        client.models()
    assert caught.value.message == (
        f"the issuer '{oidc_provider.issuer}' does not renew the login: invalid_grant; log in again: sixpoint login "
        f"--server {guarded.address}"
    )
    LoginFile(guarded.address).save(replace(login, refresh_token=Token("")))
    with Client(guarded.address) as client, pytest.raises(errors.Unauthenticated, match="has expired; log in again"):
        client.models()
    assert guarded.headers == []


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"access_token": "sxp_s3cr3t"', "[" * 10**5])
def test_a_damaged_login_is_no_token(guarded: GuardedGateway, content: str) -> None:
    file = LoginFile(guarded.address)
    file.path.parent.mkdir(parents=True)
    file.path.write_text(content)
    with Client(guarded.address) as client, pytest.raises(errors.InvalidArgument) as caught:
        client.models()
    assert caught.value.message == (
        f"{file.path} is damaged, or of a newer sixpoint; log in again: sixpoint login --server {guarded.address}"
    )


def test_a_user_without_a_home_folder_has_no_login(guarded: GuardedGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setattr(Path, "home", missing)
    with Client(guarded.address) as client:
        client.models()
    assert guarded.tokens == {""}


def test_a_refused_call_without_a_login_makes_no_folder(
    guarded: GuardedGateway, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As in a container, whose file system is read-only.
    (config / "file").touch()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(config / "file" / "none"))
    guarded.accepts = lambda name, token: False
    with Client(guarded.address) as client, pytest.raises(errors.Unauthenticated, match="the token is not valid"):
        client.models()
