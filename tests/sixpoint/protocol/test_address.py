"""Addresses of gateways, as people write them."""

from __future__ import annotations

import pytest

from sixpoint.errors import InvalidArgument
from sixpoint.protocol import Address, Target, parse_address, resolve_target


@pytest.mark.parametrize(
    ("text", "address", "shown"),
    [
        ("gpu1:50052", Address("gpu1", 50052), "gpu1:50052"),
        ("gpu1.hospital.example", Address("gpu1.hospital.example", 50051), "gpu1.hospital.example:50051"),
        (" 10.0.0.7 \n", Address("10.0.0.7", 50051), "10.0.0.7:50051"),
        ("127.0.0.1:1", Address("127.0.0.1", 1), "127.0.0.1:1"),
        ("[::1]:50052", Address("::1", 50052), "[::1]:50052"),
        ("[fe80::1%eth0]", Address("fe80::1%eth0", 50051), "[fe80::1%eth0]:50051"),
        ("héllo:65535", Address("héllo", 65535), "héllo:65535"),
    ],
)
def test_host_and_port_are_read(text: str, address: Address, shown: str) -> None:
    assert parse_address(text) == address
    assert str(address) == shown
    assert parse_address(shown) == address
    assert resolve_target(text) == Target(shown)
    assert resolve_target(f"https://{shown}/") == Target(shown, tls=True)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("", "write HOST:PORT"),
        (":50051", "write HOST:PORT"),
        ("gpu1:", "no port from 1 to 65535"),
        ("gpu1:0", "no port from 1 to 65535"),
        ("gpu1:65536", "no port from 1 to 65535"),
        ("gpu1:٥٠", "no port from 1 to 65535"),
        ("gpu1:50051/", "no port from 1 to 65535"),
        ("gpu1/path", "write HOST:PORT"),
        ("gpu 1", "write HOST:PORT"),
        ("user@gpu1", "write HOST:PORT"),
        ("::1", r"write \[ADDRESS\]:PORT"),
        ("::1:50051", r"write \[ADDRESS\]:PORT"),
        ("[::1", "write HOST:PORT"),
        ("http://gpu1:50052/", "write gpu1:50052; only https:// may stand there, for TLS$"),
        ("HTTP://gpu1", "write gpu1:50051;"),
        ("grpc://[::1]:7", r"write \[::1\]:7;"),
        ("https://gpu1:443/path", "no port from 1 to 65535"),
        ("https://", "write HOST:PORT"),
        ("http://gpu1:50051/v1/models", "write HOST:PORT"),
    ],
)
def test_what_is_no_address_is_refused_with_what_to_write(text: str, advice: str) -> None:
    with pytest.raises(InvalidArgument, match=advice):
        parse_address(text)
    with pytest.raises(InvalidArgument, match=advice):
        resolve_target(text)


def test_an_address_with_https_is_one_with_tls_on_port_443() -> None:
    assert parse_address("https://gateway.example") == Address("gateway.example", 443, tls=True)
    assert parse_address("HTTPS://[::1]:7/") == Address("::1", 7, tls=True)
    assert str(resolve_target("https://gateway.example")) == "https://gateway.example:443"


@pytest.mark.parametrize(
    "target", ["unix:/run/gateway.sock", "unix:///run/gateway.sock", "dns:///gpu1:50051", "ipv4:10.0.0.7:1"]
)
def test_target_names_of_grpc_pass(target: str) -> None:
    assert str(resolve_target(target)) == target


def test_the_variable_counts_where_no_target_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SIXPOINT_SERVER", raising=False)
    assert str(resolve_target(None)) == "127.0.0.1:50051"
    monkeypatch.setenv("SIXPOINT_SERVER", "")
    assert str(resolve_target(None)) == "127.0.0.1:50051"
    monkeypatch.setenv("SIXPOINT_SERVER", "gpu1")
    assert str(resolve_target(None)) == "gpu1:50051"
    assert str(resolve_target("gpu2:1")) == "gpu2:1"
    monkeypatch.setenv("SIXPOINT_SERVER", "http://gpu1:50052")
    with pytest.raises(InvalidArgument, match=r"^SIXPOINT_SERVER: .* write gpu1:50052"):
        resolve_target(None)
