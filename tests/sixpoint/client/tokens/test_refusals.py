"""Tokens that are not sent: unencrypted, twice given, or none. The refusal never holds the token."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from sixpoint.client import AsyncClient, Client, Retry
from sixpoint.client.tokens import token_times
from sixpoint.errors import InvalidArgument, SixpointError
from sixpoint.protocol import resolve_target
from tests.sixpoint.client.fake_gateway import EACH_CLIENT, settled

TOKEN = "sxp_3n0Ugh-R4nd0mn3ss"
HERE = [
    "127.0.0.1:50051",
    "127.8.9.1",
    "localhost",
    "LOCALHOST:1",
    "[::1]:50051",
    "unix:/run/gateway.sock",
    "unix-abstract:gateway",
    "ipv4:127.0.0.1:50051",
    "ipv4:127.0.0.1:1,127.0.0.2:2",
    "ipv6:[::1]:50051",
    "ipv6:%5B::1%5D:50051",
    "https://gateway.hospital.example",
]
ELSEWHERE = [
    "gpu1",
    "10.0.0.1:50051",
    "0.0.0.0:50051",
    "[fe80::1%eth0]:50051",
    "localhost.evil.example:50051",
    "127.0.0.1.evil.example",
    "dns:///gpu1:50051",
    "dns://8.8.8.8/localhost:50051",
    "ipv4:127.0.0.1:1,10.0.0.1:2",
    "ipv6:[2001:db8::1]:50051",
    "xds:///gateway",
]


@pytest.mark.parametrize("address", HERE)
def test_what_nobody_else_can_read_is_private(address: str) -> None:
    assert resolve_target(address).is_private


@pytest.mark.parametrize("address", ELSEWHERE)
async def test_a_token_is_not_sent_unencrypted_to_another_machine(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(kind: Any, **given: Any) -> None:
        with pytest.raises(InvalidArgument) as caught:
            kind(address, **given)
        target = resolve_target(address)
        assert f"write https://{target} if the gateway has TLS, or reach it through a tunnel" in caught.value.message
        assert TOKEN not in caught.value.message

    path = tmp_path / "token"
    path.write_text(TOKEN)
    refused(Client, token=TOKEN)
    refused(AsyncClient, token=lambda: TOKEN)
    refused(Client, token_file=path)
    monkeypatch.setenv("SIXPOINT_TOKEN_FILE", str(path))
    refused(AsyncClient)
    monkeypatch.delenv("SIXPOINT_TOKEN_FILE")
    monkeypatch.setenv("SIXPOINT_TOKEN", TOKEN)
    refused(Client)
    # Without a token there is nothing to read.
    Client(address, token="").close()


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (f"{TOKEN} {TOKEN}", "has characters that cannot be sent"),
        (f"{TOKEN}\r\nx-admin: 1", "has characters that cannot be sent"),
        (f"{TOKEN}\x00", "has characters that cannot be sent"),
        (f"{TOKEN}ü", "has characters that cannot be sent"),
        (f"Bearer {TOKEN}", "begins with 'Bearer', which is sent anyway: give the token alone"),
        (TOKEN * 500, "has 10500 characters; the gateway takes 7000"),
        (" \n", "is empty; a token was expected"),
        (TOKEN.encode(), "is bytes; a token is a text"),
    ],
)
@EACH_CLIENT
async def test_what_is_no_token_is_refused_in_one_sentence(
    kind: Any, token: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(origin: str, **given: Any) -> None:
        with pytest.raises(InvalidArgument) as caught:
            await settled(kind("127.0.0.1:1", **given).models())
        expected = [f"{origin} {message}"]
        if origin.startswith("the file of "):
            expected.append(f"{origin.removeprefix('the file of ')}: the file must hold one line of text")
        assert caught.value.message.startswith(tuple(expected))
        assert TOKEN not in repr(caught.value)
        assert "\n" not in caught.value.message

    await refused("what the function given as token= returned", token=lambda: token)
    if isinstance(token, str):
        await refused("the token", token=token)
        path = tmp_path / "token"
        path.write_text(token)
        await refused("the file of token_file=", token_file=path)
        monkeypatch.setenv("SIXPOINT_TOKEN_FILE", str(path))
        await refused("the file of SIXPOINT_TOKEN_FILE")
        monkeypatch.delenv("SIXPOINT_TOKEN_FILE")
        if "\0" not in token:
            monkeypatch.setenv("SIXPOINT_TOKEN", token)
            await refused("SIXPOINT_TOKEN")


def test_two_tokens_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidArgument, match=r"^token= and token_file= are both given; give one of them$"):
        Client(token=TOKEN, token_file="token")
    monkeypatch.setenv("SIXPOINT_TOKEN", TOKEN)
    monkeypatch.setenv("SIXPOINT_TOKEN_FILE", "token")
    with pytest.raises(InvalidArgument, match=r"^SIXPOINT_TOKEN and SIXPOINT_TOKEN_FILE are both set; unset one"):
        Client()
    monkeypatch.setenv("SIXPOINT_TOKEN", "")
    monkeypatch.setenv("SIXPOINT_TOKEN_FILE", "")
    Client().close()


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("absent", "token_file=: the file cannot be read (No such file or directory)"),
        ("folder", "token_file= must name a file; it names a folder or a device"),
        ("token", "token_file=: the file cannot be read (No such file or directory)"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_without_what_may_be_a_token(
    place: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(InvalidArgument) as caught:
        Client(token_file=TOKEN if place == "token" else tmp_path / place)
    assert caught.value.message == f"{message}; a file with a token was expected"
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_a_proxy_is_not_asked_for_a_gateway_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        asked = threading.Event()

        def serve() -> None:
            connection, _ = proxy.accept()
            asked.set()
            connection.close()

        threading.Thread(target=serve, daemon=True).start()
        for name in ("grpc_proxy", "http_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        for name in ("no_grpc_proxy", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        with pytest.raises(SixpointError), Client("127.0.0.1:1", token=TOKEN, retry=Retry.none()) as client:
            client.models()
        assert not asked.is_set()
        # It does hear of gateways elsewhere.
        with pytest.raises(SixpointError), Client("gpu1.invalid:1", retry=Retry.none()) as client:
            client.models()
        assert asked.is_set()


@pytest.mark.parametrize("token", ["a.b.c", f"a.{'W1tb' * 1800}.c", "a.bnVsbA.c", "a.eyJleHAiOjFlOTl9.c", "sxp_x", ""])
def test_what_is_no_token_with_times_has_none(token: str) -> None:
    times = token_times(token)
    assert times is None or times.expires is None
