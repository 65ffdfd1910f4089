"""The connections of an HTTP port."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import httpx
import pytest

from gateway.http import listener


async def answer(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"x"})


async def test_the_body_of_an_answer_does_not_wait_for_its_head(monkeypatch: pytest.MonkeyPatch) -> None:
    made, options = listener._Connection.connection_made, list[int]()

    def watched(self: Any, transport: asyncio.Transport) -> None:
        made(self, transport)
        options.append(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    monkeypatch.setattr(listener._Connection, "connection_made", watched)
    async with (
        listener.listening(answer, host="127.0.0.1", port=0, setting="PORT") as port,
        httpx.AsyncClient(trust_env=False) as client,
    ):
        assert (await client.get(f"http://127.0.0.1:{port}/")).text == "x"
    assert options == [1]
