"""Requests over HTTP that no viewer should send, made of those that viewers do send.

Each begins as a valid request of a door; then its address, its parameters, a file in its form or the bytes of its body
are changed, cut, repeated or exchanged.
"""

from __future__ import annotations

import gzip
import json
import random
import socket
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from email.message import Message
from typing import Any
from urllib.parse import quote, urlencode

from tests.gateway.http.aiaa.clients import Answer
from tests.gateway.robustness.fuzzing import damaged

__all__ = ["BOUNDARY", "Answer", "FilePart", "Mutator", "WireRequest"]

BOUNDARY = "----------lImIt_of_THE_fIle_eW_$"
_TEXTS = (
    "",
    "x",
    "x" * 300,
    "../../../../{escape}",
    "/tmp/{escape}",
    "..\\..\\{escape}",
    "file:///tmp/{escape}",
    "é\u0000\u202e",
    "%2e%2e%2f%00",
    "0" * 64,
    "' OR 1=1 --",
    "true",
    "null",
    "NaN",
    "-1",
    "1e400",
    "9" * 400,
    "\r\nx-injected: 1",
    "\ud800",
)
_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    0.5,
    -0.5,
    1e300,
    -1e300,
    float("nan"),
    float("inf"),
    2**31,
    2**63,
    -(2**63),
    10**400,
    [],
    {},
    [[]],
    [[1, 2]],
    [[1, 2, 3]] * 6,
    [[20, 17, 16]],
    [[1, 2, 3]] * 2000,
    [["1", "2", "3"]],
    {"a": {"b": [1]}},
    "[[1,2,3]]",
    "[" * 2000,
)
_NAMES = ("../../../{escape}.nii.gz", "/tmp/{escape}.nrrd", "x.png", "x.jpg", "x.dcm", "x.mha", "x.nhdr", "x.exe", "")
_HEADERS = (
    ("content-type", "application/json"),
    ("content-type", "multipart/form-data"),
    ("content-type", "multipart/form-data; boundary="),
    ("content-type", "multipart/mixed; boundary=x"),
    ("content-type", "text/plain; charset=utf-7"),
    ("content-encoding", "gzip"),
    ("accept-encoding", "gzip, br, *;q=0"),
    ("range", "bytes=0-0,1-1"),
    ("if-match", '"x"'),
    ("expect", "100-continue"),
    ("x-forwarded-host", "evil.example"),
    ("origin", "null"),
    ("host", "evil.example"),
    ("authorization", "Bearer x"),
    ("sixpoint-owner", "x" * 300),
    ("traceparent", "00-0-0-0"),
)
_NIFTI_HEADER_BYTES = 352
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "X")


@dataclass(frozen=True)
class FilePart:
    """A file of a form.

    Attributes:
        name: Name of the field.
        filename: Name of the file.
        content: Its bytes.
    """

    name: str
    filename: str
    content: bytes


@dataclass(frozen=True)
class WireRequest:
    """A request.

    Attributes:
        method: Method.
        path: Path within the door.
        query: Names and values behind the question mark.
        fields: Fields of the form; values other than texts are sent as JSON.
        files: Files of the form.
        content: Body that is no form; None for a form, or for no body.
        headers: More headers.
        name: What it is counted as.
    """

    method: str
    path: str
    query: Sequence[tuple[str, str]] = ()
    fields: Sequence[tuple[str, Any]] = ()
    files: Sequence[FilePart] = ()
    content: bytes | None = None
    headers: Sequence[tuple[str, str]] = ()
    name: str = ""

    @property
    def label(self) -> str:
        """What it is counted as."""
        return self.name or f"{self.method} {self.path}"


@dataclass
class Mutator:
    """Sends requests, changed or not.

    Attributes:
        rng: Decides.
        port: Port of the gateway.
        prefix: Path of the door.
        escape: Part of the names of files that must not come into being.
    """

    rng: random.Random
    port: int
    prefix: str
    escape: str

    def send(self, request: WireRequest, *, valid: bool = False) -> Answer:
        """Send a request, changed in one to three ways unless it is to stay valid."""
        rng, late = self.rng, list[Callable[[bytes], bytes]]()
        for _ in range(0 if valid else rng.choice((1, 1, 1, 2, 3))):
            request = self._changed(request, late)
        body, headers = _body(request)
        for change in late:
            body = change(body)
        length = len(body)
        if not valid and rng.random() < 0.01:
            # Too short: what follows is taken for another request; too long is for slow bodies.
            length = max(0, length - rng.randrange(1, 50))
        chunked = not valid and bool(body) and rng.random() < 0.05
        return self._exchange(request, body, headers, length=length, chunked=chunked)

    def _changed(self, request: WireRequest, late: list[Callable[[bytes], bytes]]) -> WireRequest:
        rng = self.rng
        ways: list[Callable[[WireRequest], WireRequest]] = [*([self._query] * 4), self._path, self._header]
        if request.fields:
            ways += [self._field] * 8
        if request.files:
            ways += [self._file] * 6
        if request.content is not None or request.fields or request.files:
            ways.append(self._drop)
            if rng.random() < 0.15:
                late.append(lambda body: damaged(rng, body))
                return request
        if rng.random() < 0.03:
            return replace(request, method=rng.choice(_METHODS))
        return rng.choice(ways)(request)

    def text(self) -> str:
        """A text that is nowhere expected."""
        return self.rng.choice(_TEXTS).replace("{escape}", self.escape)

    def value(self, value: Any) -> Any:
        """A JSON value in which one place is another one."""
        rng = self.rng
        inner = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
        if not inner or rng.random() < 0.25:
            return self.text() if rng.random() < 0.2 else rng.choice(_VALUES)
        place = rng.choice(list(inner))
        made = value.copy()
        kind = rng.random()
        if kind < 0.15:
            del made[place]
        elif kind < 0.25 and isinstance(made, list):
            made.extend([made[place]] * rng.choice((1, 5, 30)))
        else:
            made[place] = self.value(made[place])
        return made

    def _query(self, request: WireRequest) -> WireRequest:
        query, kind = list(request.query), self.rng.random()
        if not query or kind < 0.15:
            query.append((self.rng.choice(("model", "session_id", "output", "expiry", "image", "x")), self.text()))
        elif kind < 0.3:
            query.pop(self.rng.randrange(len(query)))
        elif kind < 0.4:
            query.append(self.rng.choice(query))
        else:
            place = self.rng.randrange(len(query))
            query[place] = (query[place][0], self.text())
        return replace(request, query=query, name=request.label)

    def _path(self, request: WireRequest) -> WireRequest:
        parts = request.path.split("/")
        place = self.rng.randrange(len(parts))
        parts[place] = self.rng.choice((self.text, lambda: parts[place] + "/", lambda: ".."))()
        path = "/".join(quote(part.encode("utf-8", "surrogatepass"), safe="%/") for part in parts)
        return replace(request, path=path if path.startswith("/") else f"/{path}", name=request.label)

    def _header(self, request: WireRequest) -> WireRequest:
        return replace(request, headers=[*request.headers, self.rng.choice(_HEADERS)], name=request.label)

    def _field(self, request: WireRequest) -> WireRequest:
        fields = list(request.fields)
        place = self.rng.randrange(len(fields))
        name, value = fields[place]
        if self.rng.random() < 0.05:
            fields.append((name, value))
        elif isinstance(value, str) or self.rng.random() < 0.1:
            fields[place] = (name, self.text())
        else:
            fields[place] = (name, self.value(value))
        return replace(request, fields=fields)

    def _file(self, request: WireRequest) -> WireRequest:
        files, rng = list(request.files), self.rng
        place = rng.randrange(len(files))
        file, kind = files[place], rng.random()
        if kind < 0.2:
            files[place] = replace(file, filename=rng.choice(_NAMES).replace("{escape}", self.escape))
        elif kind < 0.3:
            files.append(replace(file, name=rng.choice((file.name, "image", "file", "label", "x"))))
        elif kind < 0.4:
            files[place] = replace(file, content=file.content[: rng.randrange(len(file.content) + 1)])
        elif kind < 0.8 and (inner := _inner(file.content)):
            # Half of the changes hit the header, which is short.
            head = min(len(inner), _NIFTI_HEADER_BYTES) if rng.random() < 0.5 else len(inner)
            changed = damaged(rng, inner[:head]) + inner[head:]
            files[place] = replace(file, content=gzip.compress(changed, 1))
        else:
            files[place] = replace(file, content=damaged(rng, file.content))
        return replace(request, files=files)

    def _drop(self, request: WireRequest) -> WireRequest:
        return replace(request, fields=(), files=(), content=self.rng.choice((b"", b"{}", b"null", b"[", bytes(5000))))

    def _exchange(
        self, request: WireRequest, body: bytes, headers: dict[str, str], *, length: int, chunked: bool
    ) -> Answer:
        query = "&".join(
            urlencode([(name, value.encode("utf-8", "surrogatepass"))]) if value else name
            for name, value in request.query
        )
        lines = {"host": f"127.0.0.1:{self.port}", "connection": "close", **headers}
        if chunked:
            lines["transfer-encoding"] = "chunked"
            body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in _pieces(body)) + b"0\r\n\r\n"
        elif body or request.method not in ("GET", "HEAD", "DELETE"):
            lines["content-length"] = str(length)
        address = f"{self.prefix}{request.path}{'?' if query else ''}{query}"
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            try:
                connection.sendall(f"{request.method} {address} HTTP/1.1\r\n{head}\r\n".encode() + body)
                answer = b"".join(iter(lambda: connection.recv(2**16), b""))
            except (BrokenPipeError, ConnectionResetError):
                # It was refused before all of it had come.
                return Answer(0, Message(), b"")
        if answer.startswith(b"HTTP/1.1 100 "):
            # The word that the body may come.
            answer = answer.partition(b"\r\n\r\n")[2]
        top, _, content = answer.partition(b"\r\n\r\n")
        status, _, rest = top.partition(b"\r\n")
        message = Message()
        for line in rest.decode("latin-1").split("\r\n"):
            name, _, value = line.partition(":")
            message[name] = value.strip()
        return Answer(int(status.split()[1]) if status else 0, message, content)


def _inner(content: bytes) -> bytes:
    """What a file holds that is compressed; nothing if it is not, or damaged."""
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error):
        return b""


def _pieces(body: bytes) -> list[bytes]:
    return [body[start : start + 3000] for start in range(0, len(body), 3000)]


def _body(request: WireRequest) -> tuple[bytes, dict[str, str]]:
    headers = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
    if request.content is not None:
        body, headers = request.content, {"content-type": "application/json"} if request.content else {}
    elif not request.fields and not request.files:
        body, headers = b"", {}
    else:
        parts = [
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode()
            + (value if isinstance(value, str) else json.dumps(value)).encode("utf-8", "surrogatepass")
            for name, value in request.fields
        ] + [
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{file.name}"; filename="{file.filename}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n".encode()
            + file.content
            for file in request.files
        ]
        body = b"\r\n".join([*parts, f"--{BOUNDARY}--\r\n".encode()])
    return body, headers | dict(request.headers)
