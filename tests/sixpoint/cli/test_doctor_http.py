"""``sixpoint doctor --http`` names what is wrong on the way to a gateway: real servers that are none."""

from __future__ import annotations

import socketserver
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sixpoint.cli.doctor import Finding, examine_http
from sixpoint.cli.doctor.http_url import parse_url
from sixpoint.errors import InvalidArgument
from tests.sixpoint.cli.command_line import Run
from tests.sixpoint.client.tokens.misbehaving_issuer import HttpServer, http_server
from tests.support.certificates import write_certificates
from tests.support.ports import free_port

PAGE = b"This is a gateway of sixpoint 9.1.0. It works. Viewers connect to:\n  http://127.0.0.1:1/monailabel  for 3D\n"
TOKEN = "sxp_5ecret"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name.upper()}_PROXY", raising=False)


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with http_server() as server:
        yield server


def first_wrong(url: str) -> Finding:
    findings = list(examine_http(url))
    assert TOKEN not in repr(findings)
    return next(finding for finding in findings if not finding.well)


def gateway_at(root: str, **doors: tuple[int, bytes]) -> object:
    """The answers of a gateway behind a path: its page, and what its door for MONAI Label says."""

    def answer(path: str) -> tuple[int, dict[str, str], bytes]:
        inner = path.removeprefix(root)
        if not path.startswith(root) or inner not in ("/", "/monailabel/", "/monailabel/info/"):
            return 404, {}, b""
        status, body = doors.get("info", (200, b'{"models": {"m": {}}}')) if "info" in inner else (200, PAGE)
        return status, {"content-type": "text/plain"}, body

    return answer


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://gateway", "begins with http:// or https://, not 'ftp'://"),
        ("http://anna:secret@gateway", "a name and a password"),
        ("http://gateway:99999", "is no address"),
        ("http://gateway:0", "no port that can be"),
        ("http://", "has no host"),
        ("http://a b", "has no host"),
        ("http://gateway/x?y", "goes on behind the path"),
        ("http://[::1", "is no address"),
    ],
)
def test_what_is_no_address(url: str, words: str) -> None:
    finding = first_wrong(url)
    assert (finding.what, words in finding.seen) == ("address", True), finding
    with pytest.raises(InvalidArgument):
        parse_url(url)


def test_no_message_has_a_token() -> None:
    for url in (f"http://gateway/t/{TOKEN}?x", f"http://gateway.example:80/t/{TOKEN}", f"ftp://x/t/{TOKEN}"):
        first_wrong(url)


def test_a_name_and_a_port_that_are_not_there() -> None:
    assert first_wrong("http://gateway.invalid").what == "name"
    finding = first_wrong(f"http://127.0.0.1:{free_port()}")
    assert (finding.what, "SIXPOINT_HTTP_PORT" in finding.advice) == ("connection", True)


def test_an_address_without_a_scheme(server: HttpServer) -> None:
    server.answer = gateway_at("")  # type: ignore[assignment]
    findings = list(examine_http(server.url.removeprefix("http://")))
    assert [finding.what for finding in findings if not finding.well] == ["address"]
    assert f"Write {server.url}." in [finding.advice for finding in findings]
    assert findings[-1] == Finding("door monailabel", True, f"{server.url}/monailabel serves m")


def test_another_version_is_said(server: HttpServer) -> None:
    server.answer = gateway_at("")  # type: ignore[assignment]
    (finding,) = (each for each in examine_http(server.url) if each.what == "version")
    assert (finding.well, finding.seen.startswith("the gateway is 9.1.0")) == (True, True)


@pytest.mark.parametrize(
    ("reply", "words", "advice"),
    [
        (
            (200, {"content-type": "text/html"}, b"<title>\nWelcome to nginx!</title>"),
            'page "Welcome to nginx!", and is no gateway',
            "port",
        ),
        ((404, {}, b""), "answers 404 with nothing readable", "port"),
        (
            (308, {"location": "https://gateway.example/"}, b""),
            "sends callers on to https://gateway.example/",
            "not follow",
        ),
        ((302, {"location": f"/t/{TOKEN}/x"}, b""), "/t/.../x", "not follow"),
        ((502, {}, b""), "answers 502", "does not reach the gateway"),
        ((407, {}, b""), "answers 407", "password"),
        ((400, {}, b"Client sent an HTTP request to an HTTPS server."), "expects TLS", "Write https://127.0.0.1"),
        ((403, {}, b'{"detail": "this port is for programs on the machine", "reason": "X"}'), "this port is for", ""),
        ((200, {}, b"\xff" * 2**21), "no gateway", "port"),
    ],
)
def test_another_server(server: HttpServer, reply: tuple[int, dict[str, str], bytes], words: str, advice: str) -> None:
    server.answer = lambda _: reply
    finding = first_wrong(server.url)
    assert (finding.what, words in finding.seen, advice in finding.advice) == ("gateway", True, True), finding


def test_a_gateway_under_another_path(server: HttpServer) -> None:
    server.answer = gateway_at("")  # type: ignore[assignment]
    finding = first_wrong(f"{server.url}/imaging/monailabel")
    assert (finding.what, f"but at {server.url}" in finding.seen) == ("address", True)
    assert "has no door itksnap; it has: monailabel" in first_wrong(f"{server.url}/itksnap").seen
    server.answer = gateway_at("/imaging")  # type: ignore[assignment]
    assert all(finding.well for finding in examine_http(f"{server.url}/imaging/monailabel/"))


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ((200, b"<html>"), "its answer has no models"),
        ((200, b'{"models": {}}'), "has no model that you may use"),
        ((500, b"x"), "answers 500"),
        ((503, b'{"detail": "Triton cannot be reached", "reason": "TRITON_UNAVAILABLE"}'), "Triton cannot be reached"),
        ((403, b'{"detail": "this call needs the role viewer", "reason": "X"}'), "needs the role viewer"),
    ],
)
def test_a_door_that_does_not_work(server: HttpServer, info: tuple[int, bytes], words: str) -> None:
    server.answer = gateway_at("", info=info)  # type: ignore[assignment]
    finding = first_wrong(server.url)
    assert (finding.what, words in finding.seen) == ("door monailabel", True), finding


def test_a_proxy_in_the_way(server: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.answer = gateway_at("")  # type: ignore[assignment]
    with http_server() as proxy:
        monkeypatch.setenv("http_proxy", f"http://anna:secret@127.0.0.1:{proxy.server_port}")
        proxy.answer = lambda _: (403, {"server": "squid"}, b"")
        finding = first_wrong(server.url)
        assert finding.what == "proxy"
        named = f"HTTP_PROXY names 127.0.0.1:{proxy.server_port}, and through it"
        assert finding.seen.startswith(named)
        assert "answers 403" in finding.seen
        assert "add 127.0.0.1 to NO_PROXY" in finding.advice
        assert "secret" not in repr(finding)
        proxy.answer = lambda path: server.answer(path.removeprefix(server.url))
        assert all(finding.well for finding in examine_http(server.url))
        assert proxy.received[-1][0] == f"{server.url}/"
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert "proxy" not in {finding.what for finding in examine_http(server.url)}


@contextmanager
def raw_server(answer: bytes | None, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """A server that says the same to everybody; None: nothing, and it keeps the connection."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            if context:
                try:
                    self.request = context.wrap_socket(self.request, server_side=True)
                except OSError:
                    return
            self.request.recv(4096)
            if answer is None:
                time.sleep(1)
            else:
                self.request.sendall(answer)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"\0\0\x12\x04\0\0\0\0\0" + b"\0" * 18, "HTTP/2 only"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no HTTP/1.1"),
        (b"", "closes the connection"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort", "is no gateway"),
        (None, "does not answer within"),
    ],
)
def test_a_server_that_does_not_speak_http(answer: bytes | None, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sixpoint.cli.doctor.http_exchange._TIMEOUT_S", 0.2)
    with raw_server(answer) as port:
        finding = first_wrong(f"http://127.0.0.1:{port}")
    assert (finding.what, words in finding.seen) == ("gateway", True), finding
    assert "50051" in finding.advice


def test_http_and_https_mixed_up(server: HttpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finding = first_wrong(server.url.replace("http", "https"))
    assert (finding.what, finding.advice) == ("certificate", f"Write {server.url}.")
    pem = write_certificates(tmp_path / "pem", "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem.certificate, pem.key)
    with raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", context) as port:
        finding = first_wrong(f"http://127.0.0.1:{port}")
        assert (finding.seen, finding.advice) == ("it expects TLS", f"Write https://127.0.0.1:{port}.")
        finding = first_wrong(f"https://127.0.0.1:{port}")
        assert (finding.what, "SIXPOINT_CA_FILE" in finding.advice) == ("certificate", True)
        monkeypatch.setenv("SIXPOINT_CA_FILE", str(pem.authority))
        assert first_wrong(f"https://127.0.0.1:{port}").what == "gateway"
    old = write_certificates(tmp_path / "old", "127.0.0.1", until=datetime.now(UTC) - timedelta(days=1))
    context.load_cert_chain(old.certificate, old.key)
    with raw_server(b"", context) as port:
        monkeypatch.setenv("SIXPOINT_CA_FILE", str(old.authority))
        assert "expired" in first_wrong(f"https://127.0.0.1:{port}").seen


def test_a_token_is_not_sent_where_others_can_read_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sixpoint.cli.doctor.http_checks.check_port", lambda *_, **__: Finding("connection", True, ""))
    assert "travels unencrypted" in first_wrong(f"http://192.0.2.1/t/{TOKEN}").seen
    monkeypatch.setenv("SIXPOINT_TOKEN", TOKEN)
    assert "unencrypted" in first_wrong("http://192.0.2.1").seen


def test_the_command(run: Run, server: HttpServer) -> None:
    server.answer = gateway_at("")  # type: ignore[assignment]
    code, out, _ = run("doctor", "--http", server.url)
    assert (code, "ok    door monailabel" in out) == (0, True)
    code, out, _ = run("doctor", "--http", f"{server.url}/x", "--json")
    assert (code, '"well": false' in out) == (7, True)
    assert run("doctor", "gpu1", "--http", server.url)[0] == 3
