"""A collector of traces that throws them away: python -m benchmarks.servers.trace_sink PORT."""

from __future__ import annotations

import contextlib
import http.server
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks.servers.local_servers import free_ports
from sixpoint.errors import Unavailable

__all__ = ["trace_sink"]

_START_SECONDS = 20.0


@contextlib.contextmanager
def trace_sink() -> Iterator[str]:
    """Run the collector in another process; yields its URL.

    Raises:
        Unavailable: It does not start.
    """
    (port,) = free_ports(1)
    process = subprocess.Popen([sys.executable, "-m", __name__, str(port)])
    try:
        end = time.monotonic() + _START_SECONDS
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            if process.poll() is not None or time.monotonic() > end:
                raise Unavailable("the collector for traces does not start")
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), _Handler).serve_forever()
