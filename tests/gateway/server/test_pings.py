"""Clients that are not sixpoint's own may ping as often as gRPC's design allows."""

from __future__ import annotations

from gateway.grpc import server


def test_pings_every_ten_seconds_are_permitted() -> None:
    assert server._PING_MS < 10_000
