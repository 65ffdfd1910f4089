"""The gateway that a client talks to."""

from __future__ import annotations

import grpc
import pytest

from sixpoint import AsyncClient, Client, Retry
from sixpoint.errors import InvalidArgument, Unavailable
from tests.support.ports import free_port


@pytest.fixture(autouse=True)
def variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIXPOINT_SERVER", "gpu1.example:50052")


def test_a_client_without_an_address_takes_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with Client() as client:
        assert client.target == "gpu1.example:50052"
    monkeypatch.delenv("SIXPOINT_SERVER")
    with Client() as client:
        assert client.target == "127.0.0.1:50051"


async def test_an_address_that_is_given_counts_more() -> None:
    with Client("gpu2.example") as client:
        assert client.target == "gpu2.example:50051"
    async with AsyncClient() as asynchronous:
        assert asynchronous.target == "gpu1.example:50052"
    async with AsyncClient("[::1]:7") as asynchronous:
        assert asynchronous.target == "[::1]:7"


async def test_what_is_no_address_is_refused_at_once() -> None:
    with pytest.raises(InvalidArgument, match="write gpu2:50051"):
        Client("http://gpu2")
    with pytest.raises(InvalidArgument, match="write gpu2:50051"):
        AsyncClient("http://gpu2")


def test_a_client_with_its_own_channel_needs_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIXPOINT_SERVER", "no address")
    with Client(channel=grpc.insecure_channel("gpu3.example:1")) as client:
        assert client.target == "the address of its channel"


def test_an_error_names_no_address_that_the_client_does_not_know() -> None:
    target = f"127.0.0.1:{free_port()}"
    client = Client(channel=grpc.insecure_channel(target), retry=Retry.none())
    with client, pytest.raises(Unavailable, match="no gateway answers at the address of its channel") as caught:
        client.models()
    assert ":50051" not in caught.value.message
