"""Addresses of Tritons, as people write them."""

from __future__ import annotations

import pytest

from sixpoint.errors import InvalidArgument, TritonUnavailable
from sixpoint.protocol.triton_addresses import TritonName, parse_triton_addresses, resolve


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("127.0.0.1:8001", ("127.0.0.1:8001",)),
        ("gpu1:8001, gpu2:8001,gpu1:8001", ("gpu1:8001", "gpu2:8001")),
        ("[::1]:8001", ("[::1]:8001",)),
        ("dns:///triton.svc:8001", (TritonName("triton.svc", 8001),)),
        ("gpu1:8001,dns:///triton:8001", ("gpu1:8001", TritonName("triton", 8001))),
        ("dns:gpu1:8001", ("dns:gpu1:8001",)),
        ("ipv4:10.0.0.1:8001,10.0.0.2:8001", ("10.0.0.1:8001", "10.0.0.2:8001")),
        ("unix:/run/triton", ("unix:/run/triton",)),
        ("https://gpu1:8001", ("https://gpu1:8001",)),
        ("https://[::1]:8001,https://gpu2:8001", ("https://[::1]:8001", "https://gpu2:8001")),
        ("https://dns:///triton.svc:8001", (TritonName("triton.svc", 8001, tls=True),)),
    ],
)
def test_addresses_are_read_each_once(text: str, addresses: tuple[str | TritonName, ...]) -> None:
    assert parse_triton_addresses(text) == addresses


@pytest.mark.parametrize(
    "text",
    [
        "",
        "gpu1",
        "gpu1:8001,",
        "http://gpu1:8001",
        "dns:///triton",
        "gpu1:8001 gpu2:8001",
        "gpu1:65536",
        "gpu1:0",
        "dns:///triton:70000",
        "https://gpu1",
        "https://https://gpu1:8001",
        "https://gpu1:8001/",
    ],
)
def test_what_is_no_address_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"must be host:port, or dns:///name:port"):
        parse_triton_addresses(text)


@pytest.mark.parametrize("text", ["https://gpu1:8001,gpu2:8001", "gpu1:8001,https://dns:///triton:8001"])
def test_tls_is_for_all_or_for_none(text: str) -> None:
    with pytest.raises(InvalidArgument, match="before the address of each Triton, or of none"):
        parse_triton_addresses(text)


async def test_a_name_is_resolved_to_its_addresses_or_an_error() -> None:
    assert "127.0.0.1:8001" in await resolve(TritonName("localhost", 8001))
    assert "https://127.0.0.1:8001" in await resolve(TritonName("localhost", 8001, tls=True))
    with pytest.raises(TritonUnavailable, match=r"triton.invalid cannot be resolved"):
        await resolve(TritonName("triton.invalid", 8001))
