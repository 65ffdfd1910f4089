"""A PACS that closes connections which are kept open."""

from __future__ import annotations

import asyncio

from gateway.http.dicomweb.pacs import PacsAccess, open_pacs
from tests.support.ports import free_port

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/dicom+json\r\n\r\n[]"


async def test_kept_connections_that_were_closed_are_no_error() -> None:
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer once, and close the connection in the moment in which it is used again."""
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(_ANSWER)
        await writer.drain()
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    port = free_port()
    async with await asyncio.start_server(serve, "127.0.0.1", port) as server:
        access = PacsAccess(f"http://127.0.0.1:{port}")
        async with open_pacs(access) as pacs:
            assert pacs is not None

            async def ask() -> None:
                async with pacs.ask("GET", "studies", headers={"accept": "application/dicom+json"}) as answer:
                    assert await answer.aread() == b"[]"

            # Three are kept; the next request meets all of them.
            await asyncio.gather(*[ask() for _ in range(3)])
            await ask()
        server.close()
    assert connections == 4
