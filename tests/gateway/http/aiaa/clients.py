"""Requests and answers, byte by byte, as AIAA's Python and C++ clients send and read them."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

from gateway.server import Gateway

__all__ = ["AiaaSite", "Answer"]

_PYTHON_BOUNDARY = "----------lImIt_of_THE_fIle_eW_$"
_CPP_BOUNDARY = "MIME_boundary_4F1B5A3E2D8C7B6A"


@dataclass(frozen=True)
class Answer:
    """An answer, as it was on the wire.

    Attributes:
        status: Status code.
        headers: Headers.
        body: All bytes behind the headers.
    """

    status: int
    headers: Message
    body: bytes

    def json(self) -> dict[str, object]:
        content = json.loads(self.body)
        assert isinstance(content, dict)
        return content

    @property
    def message(self) -> str:
        """What the user of a client is shown of an error."""
        content = self.json()
        assert content["success"] is False
        error = content["error"]
        assert isinstance(error, dict)
        (text,) = error["message"]
        assert error["type"]
        assert text
        return str(text)

    def parts(self) -> tuple[dict[str, object], bytes]:
        """Parameters and file, read as the C++ client does: from the first boundary of the body."""
        assert self.status == 200, self.body
        boundary, _, rest = self.body.partition(b"\r\n")
        assert boundary.startswith(b"--")
        params, file, end = rest.split(b"\r\n" + boundary)
        assert end == b"--\r\n"
        head, _, text = params.partition(b"\r\n\r\n")
        assert head == b'Content-Disposition: form-data; name="params"\r\nContent-Type: application/json'
        head, _, content = file.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        assert head.startswith(b'Content-Disposition: form-data; name="image"; filename="')
        assert head.endswith(b'"\r\nContent-Type: application/octet-stream')
        return json.loads(text), content


@dataclass(frozen=True)
class AiaaSite:
    """AIAA's door of a gateway, or the root of its port.

    Attributes:
        port: Number of the port.
        prefix: Path before those of the dialect.
    """

    port: int
    prefix: str = "/aiaa"

    @classmethod
    def of(cls, gateway: Gateway, prefix: str = "/aiaa") -> AiaaSite:
        return cls(gateway.http_ports["http"], prefix)

    def call(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        version: str = "HTTP/1.1",
    ) -> Answer:
        """Send a request; nothing is decoded, and nothing followed."""
        fields = {"Host": f"127.0.0.1:{self.port}", "Connection": "close", **(headers or {})}
        if body:
            fields["Content-Length"] = str(len(body))
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall(f"{method} {self.prefix}{path} {version}\r\n{head}\r\n".encode() + body)
            answer = b"".join(iter(lambda: connection.recv(2**16), b""))
        top, _, content = answer.partition(b"\r\n\r\n")
        status, _, lines = top.partition(b"\r\n")
        message = Message()
        for line in lines.decode().split("\r\n"):
            name, _, value = line.partition(":")
            message[name] = value.strip()
        return Answer(int(status.split()[1]), message, content)

    def python(
        self,
        method: str,
        path: str,
        *,
        params: object = None,
        image: Path | None = None,
        field: str = "datapoint",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a form as the Python client does: its boundary, the whole path of the file, one line break too many."""
        lines: list[bytes] = []
        if params is not None:
            text = params if isinstance(params, str) else json.dumps(params)
            lines += [_line(_PYTHON_BOUNDARY, 'form-data; name="params"'), b"", text.encode()]
        if image is not None:
            disposition = f'form-data; name="{field}"; filename="{image}"'
            kind = b"Content-Type: application/octet-stream"
            lines += [_line(_PYTHON_BOUNDARY, disposition), kind, b"", image.read_bytes()]
        lines += [f"--{_PYTHON_BOUNDARY}--".encode(), b""]
        content_type = {"content-type": f"multipart/form-data; boundary={_PYTHON_BOUNDARY}"}
        body = b"".join(line + b"\r\n" for line in lines)
        return self.call(method, path, body=body, headers={**content_type, **(headers or {})})

    def cpp(self, method: str, path: str, *, params: object, image: Path | None = None) -> Answer:
        """Send a form as the C++ client does: HTTP/1.0, and a boundary in quotes."""
        lines = [_line(_CPP_BOUNDARY, 'form-data; name="params"'), b"", json.dumps(params).encode()]
        if image is not None:
            disposition = f'form-data; name="image"; filename="{image.name}"'
            kind = b"Content-Type: application/octet-stream"
            lines += [_line(_CPP_BOUNDARY, disposition), kind, b"", image.read_bytes()]
        lines += [f"--{_CPP_BOUNDARY}--".encode()]
        body = b"".join(line + b"\r\n" for line in lines)
        headers = {"Content-Type": f'multipart/form-data; boundary="{_CPP_BOUNDARY}"', "Connection": "Close"}
        return self.call(method, path, body=body, headers=headers, version="HTTP/1.0")

    def open_session(self, image: Path, query: str = "?expiry=0") -> str:
        answer = self.python("PUT", f"/session/{query}", image=image, field="image")
        assert answer.status == 200, answer.body
        session = answer.json()["session_id"]
        assert isinstance(session, str)
        return session


def _line(boundary: str, disposition: str) -> bytes:
    return f"--{boundary}\r\nContent-Disposition: {disposition}".encode()
