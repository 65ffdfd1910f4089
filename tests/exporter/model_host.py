"""An HTTP server that lays models out as the public hosts do."""

from __future__ import annotations

import hashlib
import http.server
from pathlib import Path
from typing import Any

from typer.testing import Result

from tests.exporter.command_line import run

__all__ = ["Host", "pull"]


class Host(http.server.ThreadingHTTPServer):
    """Serves ``content`` by path, with ranges.

    Attributes:
        content: Content of every file, by its path.
        breaks: Numbers of bytes after which to break off the next responses.
        asked: Path and Range header of every request.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content: dict[str, bytes] = {}
        self.breaks: list[int] = []
        self.asked: list[tuple[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Host

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        requested = self.headers.get("Range", "")
        self.server.asked.append((path, requested))
        content = self.server.content.get(path)
        if content is None:
            self.send_error(404)
            return
        tag = f'"{hashlib.md5(content).hexdigest()}"'
        first = int(requested[6:-1]) if requested and self.headers.get("If-Range") == tag else 0
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(content) - first))
        self.send_header("ETag", tag)
        self.end_headers()
        stop = self.server.breaks.pop(0) if self.server.breaks else len(content)
        self.wfile.write(content[first : first + stop])

    def log_message(self, *_: Any) -> None:
        pass


def pull(host: Host, source: str, cache: Path, *others: object) -> Result:
    mirrors = ("--ngc", host.url, "--hugging-face", host.url)
    return run("pull", source, "--cache", cache, *mirrors, "--json", *others)
