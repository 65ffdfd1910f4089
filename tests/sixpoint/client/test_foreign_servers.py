"""A client that is pointed at another server says so at once: Triton, another gRPC service, HTTP, TLS."""

from __future__ import annotations

import contextlib
import socketserver
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import grpc
import pytest
import trustme

from sixpoint.cli.doctor import examine
from sixpoint.client import Retry
from sixpoint.errors import Unavailable
from tests.sixpoint.client.fake_gateway import EACH_CLIENT, settled


class Closing(socketserver.BaseRequestHandler):
    """Closes every connection after what a TLS server sends to a client that speaks no TLS."""

    def handle(self) -> None:
        self.request.recv(1024)


def serve(server: socketserver.TCPServer, exits: contextlib.ExitStack) -> str:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    exits.callback(server.server_close)
    exits.callback(server.shutdown)
    return f"127.0.0.1:{server.server_address[1]}"


class LikeTriton(grpc.GenericRpcHandler):
    """Answers as the C++ server of Triton does: health is SERVING for any name, all else is unknown, without a text."""

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        if details.method == "/grpc.health.v1.Health/Check":
            return grpc.unary_unary_rpc_method_handler(lambda request, context: b"\x08\x01")
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: context.abort(grpc.StatusCode.UNIMPLEMENTED, "")
        )


def serve_grpc(handlers: list[grpc.GenericRpcHandler], exits: contextlib.ExitStack) -> str:
    server = grpc.server(ThreadPoolExecutor(2), handlers=handlers)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    exits.callback(lambda: server.stop(None).wait())
    return f"127.0.0.1:{port}"


@pytest.fixture(params=["triton", "grpc", "http", "closing"])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """The kind of a server that is no gateway, and its address."""
    with contextlib.ExitStack() as exits:
        match request.param:
            case "triton":
                address = serve_grpc([LikeTriton()], exits)
            case "grpc":
                address = serve_grpc([], exits)
            case "http":
                address = serve(HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler), exits)
            case _:
                address = serve(socketserver.TCPServer(("127.0.0.1", 0), Closing), exits)
        yield request.param, address


MESSAGES = {
    "triton": "NVIDIA Triton answers like this: its port is usually 8001, a gateway's 50051",
    "grpc": "it is another service, or a gateway older than this client",
    "http": "does not speak gRPC, like an HTTP server",
    "closing": "if it expects TLS, write https://127.0.0.1",
}


@EACH_CLIENT
async def test_the_error_says_whose_server_it_is_without_further_attempts(server: tuple[str, str], kind: Any) -> None:
    which, address = server
    # A server that closes connections may be a gateway that starts, so that it is asked again.
    client = kind(address, retry=Retry(attempts=2 if which == "closing" else 8, initial_backoff=0.1))
    with pytest.raises(Unavailable, match=MESSAGES[which]) as caught:
        await settled(client.models())
    assert address in caught.value.message
    await settled(client.close())


def test_the_doctor_says_whose_server_it_is(server: tuple[str, str]) -> None:
    which, address = server
    findings = list(examine(address))
    assert [finding.well for finding in findings] == [True, True, False]
    if which != "closing":
        assert MESSAGES[which] in findings[-1].seen
    assert "not a sixpoint gateway" in findings[-1].seen


@pytest.mark.parametrize("server", ["triton"], indirect=True)
def test_the_doctor_says_whose_server_it_is_under_a_target_name_of_grpc(server: tuple[str, str]) -> None:
    assert MESSAGES["triton"] in list(examine(f"dns:///{server[1]}"))[-1].seen


def test_the_doctor_recognises_tls() -> None:
    certificate = trustme.CA().issue_cert("gateway.example")
    pair = certificate.private_key_pem.bytes(), certificate.cert_chain_pems[0].bytes()
    server = grpc.server(ThreadPoolExecutor(2))
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    server.start()
    try:
        assert "it expects TLS" in list(examine(f"127.0.0.1:{port}"))[-1].seen
    finally:
        server.stop(None).wait()
