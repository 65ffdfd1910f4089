"""A collector of traces: takes OTLP over HTTP, as protobuf (the gateway) or as JSON (Triton), and keeps the spans."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.json_format import MessageToDict

__all__ = ["Collector", "Span", "collecting"]


@dataclass(frozen=True)
class Span:
    """One span, as it was sent."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    kind: int
    attributes: dict[str, str]
    failed: bool
    start: int
    end: int


@dataclass
class Collector:
    """What came in.

    Attributes:
        url: Endpoint for traces.
        spans: All spans, in the order in which they came.
        bodies: All requests, as text.
        answer: Status code of its answers.
        open: Cleared to let requests wait for an answer.
    """

    url: str = ""
    spans: list[Span] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)
    answer: int = 200
    open: threading.Event = field(default_factory=threading.Event)

    def wait_for(self, wanted: Callable[[list[Span]], bool], *, seconds: float = 20.0) -> list[Span]:
        """Wait until the spans are what is wanted; return them."""
        end = time.monotonic() + seconds
        while not wanted(self.spans) and time.monotonic() < end:
            time.sleep(0.05)
        assert wanted(self.spans), [(span.service, span.name, span.trace) for span in self.spans]
        return list(self.spans)

    def take(self, body: bytes, media_type: str) -> None:
        """Read a request."""
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        if "json" in media_type:
            content = json.loads(body)
        else:
            # The JSON of protobuf has ids in base64, that of OTLP in hexadecimal.
            content = MessageToDict(ExportTraceServiceRequest.FromString(body), use_integers_for_enums=True)
        self.bodies.append(json.dumps(content, ensure_ascii=False))
        as_id = str if "json" in media_type else lambda text: base64.b64decode(text).hex()
        for of_service in content["resourceSpans"]:
            service = _attributes(of_service["resource"])["service.name"]
            for scope in of_service["scopeSpans"]:
                self.spans += [_span(service, span, as_id) for span in scope["spans"]]


def _span(service: str, span: dict[str, Any], as_id: Callable[[str], str]) -> Span:
    return Span(
        service=service,
        name=span["name"],
        trace=as_id(span["traceId"]).lower(),
        id=as_id(span["spanId"]).lower(),
        parent=as_id(span.get("parentSpanId", "")).lower(),
        kind=int(span.get("kind", 0)),
        attributes=_attributes(span),
        failed=span.get("status", {}).get("code") == 2,
        start=int(span["startTimeUnixNano"]),
        end=int(span["endTimeUnixNano"]),
    )


def _attributes(part: dict[str, Any]) -> dict[str, str]:
    return {pair["key"]: str(next(iter(pair["value"].values()), "")) for pair in part.get("attributes", ())}


@contextlib.contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on a free port."""
    collector = Collector()
    collector.open.set()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            collector.open.wait(60)
            if collector.answer == 200:
                collector.take(body, self.headers.get("content-type", ""))
            with contextlib.suppress(ConnectionError):
                self.send_response(collector.answer)
                self.send_header("content-length", "0")
                self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector.url = f"http://127.0.0.1:{server.server_port}/v1/traces"
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    try:
        yield collector
    finally:
        collector.open.set()
        server.shutdown()
        server.server_close()
