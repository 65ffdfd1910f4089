"""The token of each call: where it comes from, and what happens when a gateway does not accept it."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from sixpoint import errors
from sixpoint.client import AsyncClient, Client, Retry
from tests.sixpoint.client.fake_gateway import EACH_CLIENT, LARGE, POINTS, settled
from tests.sixpoint.client.tokens.guarded_gateway import GuardedGateway
from tests.support.images import noisy_volume

TOKEN = "sxp_a-token._~+/="


@pytest.fixture(params=["token", "function", "token_file", "SIXPOINT_TOKEN", "SIXPOINT_TOKEN_FILE"])
def given(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Each way to give a client a token, as its arguments."""
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    match request.param:
        case "token":
            return {"token": TOKEN}
        case "function":
            return {"token": lambda: f" {TOKEN}\n"}
        case "token_file":
            return {"token_file": path}
        case "SIXPOINT_TOKEN":
            monkeypatch.setenv("SIXPOINT_TOKEN", TOKEN)
        case "SIXPOINT_TOKEN_FILE":
            monkeypatch.setenv("SIXPOINT_TOKEN_FILE", str(path))
    return {}


@EACH_CLIENT
async def test_every_call_has_the_token(guarded: GuardedGateway, kind: Any, given: dict[str, Any]) -> None:
    client = kind(guarded.address, retry=Retry.none(), **given)
    session = await settled(client.open_session(noisy_volume()))
    await settled(session.annotate(POINTS))
    if kind is Client:
        with session.interact() as stream:
            stream.send(POINTS)
            stream.end()
            assert len(list(stream)) == 1
    else:
        async with session.interact() as stream:
            await stream.send(POINTS)
            await stream.end()
            assert len([event async for event in stream]) == 1
    await settled(client.close())
    assert guarded.tokens == {TOKEN}
    assert {"UploadImage", "Annotate", "Interact"} <= {name for name, _ in guarded.headers}
    assert all(len(headers) == 1 for _, headers in guarded.headers)


@EACH_CLIENT
async def test_without_a_token_none_is_sent(
    guarded: GuardedGateway, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await settled(kind(guarded.address).models())
    monkeypatch.setenv("SIXPOINT_TOKEN", TOKEN)
    await settled(kind(guarded.address, token="").models())
    assert [headers for _, headers in guarded.headers] == [[], []]


async def test_what_is_given_counts_more_than_the_environment(
    guarded: GuardedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIXPOINT_TOKEN", "other")
    Client(guarded.address, token=TOKEN).models()
    assert guarded.tokens == {TOKEN}


@EACH_CLIENT
async def test_a_channel_of_the_callers_gets_only_the_callers_token(
    guarded: GuardedGateway, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIXPOINT_TOKEN", "other")
    make = grpc.insecure_channel if kind is Client else grpc.aio.insecure_channel
    await settled(kind(channel=make(guarded.address)).models())
    await settled(kind(channel=make(guarded.address), token=TOKEN).models())
    assert [headers for _, headers in guarded.headers] == [[], [f"Bearer {TOKEN}"]]


@EACH_CLIENT
async def test_a_file_is_read_again_when_it_changes(guarded: GuardedGateway, kind: Any, tmp_path: Path) -> None:
    # As Kubernetes replaces secrets: a symbolic link to another folder.
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "token").write_text(name)
    (tmp_path / "data").symlink_to("first")
    client = kind(guarded.address, token_file=tmp_path / "data" / "token")
    await settled(client.models())
    (tmp_path / "new").symlink_to("second")
    (tmp_path / "new").rename(tmp_path / "data")
    await settled(client.models())
    # Somebody is about to write it.
    (tmp_path / "second" / "token").write_text("")
    await settled(client.models())
    assert [headers for _, headers in guarded.headers] == [["Bearer first"], ["Bearer second"], ["Bearer second"]]
    (tmp_path / "second" / "token").unlink()
    with pytest.raises(errors.InvalidArgument, match=r"^token_file=: the file cannot be read \(No such"):
        await settled(client.models())
    await settled(client.close())


@EACH_CLIENT
@pytest.mark.parametrize("call", ["ListModels", "UploadImage"])
async def test_a_call_is_repeated_once_with_another_token(guarded: GuardedGateway, kind: Any, call: str) -> None:
    def token() -> str:
        return "new" if any(name == call for name, _ in guarded.headers) else "old"

    guarded.accepts = lambda name, token: name != call or token == "new"
    client = kind(guarded.address, token=token, retry=Retry.none())
    await settled(client.models() if call == "ListModels" else client.upload(noisy_volume(LARGE)))
    await settled(client.close())
    made = [headers for name, headers in guarded.headers if name == call]
    # gRPC for asyncio may lose the reason of a refused stream; it is then sent again to learn it.
    assert [made[0], made[-1]] == [["Bearer old"], ["Bearer new"]]
    assert made.count(["Bearer new"]) == 1
    assert len(guarded.uploads) == (call == "UploadImage")


@EACH_CLIENT
@pytest.mark.parametrize("tokens", [["1", "2", "3"], ["1", "1", "2"], ["1"]], ids=["others", "same", "fixed"])
async def test_a_call_is_not_repeated_twice_nor_with_the_same_token(
    guarded: GuardedGateway, kind: Any, tokens: list[str]
) -> None:
    guarded.accepts = lambda name, token: False
    following = iter(tokens)
    client = kind(guarded.address, token=tokens[0] if len(tokens) == 1 else lambda: next(following))
    with pytest.raises(errors.Unauthenticated, match="the token is not valid"):
        await settled(client.models())
    await settled(client.close())
    assert [headers for _, headers in guarded.headers] == [[f"Bearer {token}"] for token in dict.fromkeys(tokens[:2])]


@EACH_CLIENT
async def test_an_error_of_the_callers_function_is_the_callers(guarded: GuardedGateway, kind: Any) -> None:
    def fail() -> str:
        raise LookupError("no keyring")

    client = kind(guarded.address, token=fail)
    with pytest.raises(LookupError, match="no keyring"):
        await settled(client.models())
    await settled(client.close())
    assert guarded.headers == []


async def test_the_function_may_wait_without_holding_up_the_event_loop(guarded: GuardedGateway) -> None:
    asked, may_return = threading.Event(), threading.Event()

    def token() -> str:
        asked.set()
        assert may_return.wait(10)
        return TOKEN

    async with AsyncClient(guarded.address, token=token) as client:
        call = asyncio.ensure_future(client.models())
        await asyncio.to_thread(asked.wait, 10)
        # Only an event loop that runs comes here.
        may_return.set()
        await call
    assert guarded.tokens == {TOKEN}
