"""An HTTP server that answers as a test says."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Answer", "HttpServer", "http_server"]

Answer = tuple[int, dict[str, str], bytes]
"""Status, headers and content."""


class HttpServer(http.server.ThreadingHTTPServer):
    """Answers each request by a function, and records what it was sent.

    Attributes:
        url: Its URL, without a slash at the end.
        received: Path and content of each request.
        answer: Makes the answer for a path.
        date: Its clock, seconds since 1970; None for the true time.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.received: list[tuple[str, str]] = []
        self.answer: Callable[[str], Answer] = lambda path: (404, {}, b"")
        self.date: float | None = None


class _Handler(http.server.BaseHTTPRequestHandler):
    server: HttpServer

    def do_GET(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.received.append((self.path, content.decode()))
        status, headers, body = self.server.answer(self.path)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string(self.server.date if timestamp is None else timestamp)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def http_server() -> Iterator[HttpServer]:
    """Run such a server."""
    server = HttpServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
