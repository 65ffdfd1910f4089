"""Tokens from end to end: a gateway that asks for them, the SDK, and the command line."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli import app
from gateway.server import Gateway
from sixpoint import errors
from sixpoint.cli.doctor import examine
from sixpoint.client import AsyncClient, Client
from sixpoint.client.tokens import LoginFile, Token
from tests.sixpoint.client.tokens.devices import log_in
from tests.support.oidc import OidcProvider
from tests.support.servers import running_gateway

_SECONDS = 60


@pytest.fixture(scope="module")
def tokens_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tokens") / "tokens.toml"


@pytest.fixture(scope="module")
def asking(tokens_file: Path, oidc_provider: OidcProvider) -> Iterator[Gateway]:
    """A gateway that takes tokens of a file and of an issuer; without Triton, which listing sessions does not need."""
    new_token(tokens_file, "first")
    with running_gateway(
        ready=False,
        auth="tokens,oidc",
        tokens_file=tokens_file,
        oidc_issuer=oidc_provider.issuer,
        oidc_audience=oidc_provider.audience,
        oidc_tenant_claim="tenant",
    ) as gateway:
        yield gateway


@pytest.fixture
def address(asking: Gateway) -> str:
    return f"127.0.0.1:{asking.port}"


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of settings without logins."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config"


def sixpoint(*arguments: str) -> tuple[int, str, str]:
    """Run ``sixpoint``; exit code, stdout, stderr."""
    command = [sys.executable, "-m", "sixpoint", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
    return done.returncode, done.stdout, done.stderr


def gateway_token(*arguments: str) -> str:
    """Run ``gateway token`` in this process, and return what it prints."""
    result = CliRunner().invoke(app, ["token", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def new_token(file: Path, name: str) -> str:
    token: str = json.loads(gateway_token("new", name, "--file", str(file), "--json"))["token"]
    return token


async def until(accepted: bool, client: AsyncClient) -> None:
    """Call until the gateway, which reads its file again within a second, accepts the token, or does not."""
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end:
        try:
            await client.sessions()
            if accepted:
                return
        except errors.Unauthenticated:
            if not accepted:
                return
        # Who fails too often has to wait.
        await asyncio.sleep(0.25)
    raise TimeoutError


async def test_a_token_of_the_gateways_file(
    address: str, tokens_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = sixpoint("sessions", "-s", address)
    assert (code, out) == (10, "")
    assert err.startswith("error: this gateway asks who calls, and no credentials came with the call.")
    file = tmp_path / "token"
    file.write_text(new_token(tokens_file, "alice"))
    monkeypatch.setenv("SIXPOINT_TOKEN_FILE", str(file))
    code, out, err = sixpoint("sessions", "-s", address)
    assert (code, err) == (0, "")
    async with AsyncClient(address) as client:
        assert await client.sessions() == []
        gateway_token("revoke", "alice", "--file", str(tokens_file))
        await until(False, client)
        # Under the running program.
        file.write_text(new_token(tokens_file, "alice"))
        await until(True, client)
    finding = next(finding for finding in examine(address) if finding.what == "token")
    assert finding.well


async def test_a_login_is_used_and_renewed(address: str, oidc_provider: OidcProvider) -> None:
    login = log_in(oidc_provider, address)
    assert sixpoint("sessions", "-s", address)[0] == 0
    with Client(address) as client:
        assert client.sessions() == []
        # The gateway does not accept this one, but its login can be renewed.
        stale = Token(oidc_provider.mint(audience="another"))
        LoginFile(address).save(replace(login, access_token=stale))
        assert client.sessions() == []
    renewed = LoginFile(address).load()
    assert renewed is not None
    assert renewed.access_token not in (stale, login.access_token)
    code, out, err = sixpoint("logout", "-s", address)
    assert (code, out, err) == (0, f"logged out of {address}\n", "")
    with Client(address) as client, pytest.raises(errors.Unauthenticated):
        client.sessions()


def test_a_token_that_expired_is_refused_in_words(address: str, oidc_provider: OidcProvider) -> None:
    token = oidc_provider.mint(lifetime_s=-60)
    with Client(address, token=token) as client, pytest.raises(errors.Unauthenticated, match="expired"):
        client.sessions()
