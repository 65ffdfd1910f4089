"""What operators see of HTTP calls, without Triton: bytes by route, spans; and headers that every answer has."""

from __future__ import annotations

import http.client
import re
import select
import socket
from collections.abc import Iterator

import httpx
import pytest

from gateway.server import Gateway
from tests.gateway.http.sites import HttpSite
from tests.support.collector import Collector, collecting
from tests.support.servers import running_gateway

pytest.importorskip("opentelemetry.sdk", reason="the extra tracing is not installed")

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e0001", "00f067aa0ba902b7"
ROUTE = "GET /api/v1/sessions/{session_id}"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with pytest.MonkeyPatch.context() as patch, collecting() as collector:
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "500")
        yield collector


@pytest.fixture(scope="module")
def lone(collector: Collector) -> Iterator[Gateway]:
    with running_gateway(
        ready=False,
        triton_url="127.0.0.1:1",
        traces_url=collector.url,
        status_port=0,
        http_port=0,
        upload_idle_seconds=1.0,
    ) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def site(lone: Gateway) -> HttpSite:
    return HttpSite.of(lone, "/api/v1")


def sample(gateway: Gateway, name: str, **labels: str) -> float:
    url = f"http://127.0.0.1:{gateway.status_ports['status']}/metrics"
    given = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    match = re.search(rf"^{re.escape(f'{name}{{{given}}}')} (\S+)$", httpx.get(url, trust_env=False).text, re.MULTILINE)
    return float(match[1]) if match else 0.0


def test_bytes_and_calls_are_counted_by_route(lone: Gateway, site: HttpSite) -> None:
    route, body = "POST /api/v1/sessions", b'{"model": "x"}'
    answer = site.request("POST", "/sessions", content=body)
    assert answer.status_code == 503
    assert sample(lone, "sixpoint_received_bytes_total", method=route) == len(body)
    assert sample(lone, "sixpoint_sent_bytes_total", method=route) == len(answer.content)
    assert sample(lone, "sixpoint_calls_total", method=route, code="UNAVAILABLE") == 1


def test_a_call_has_a_span_that_names_its_route_only(site: HttpSite, collector: Collector) -> None:
    headers = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "patient=Anna", "sixpoint-owner": "Erika"}
    assert site.get("/sessions/Anna-Example", headers=headers).status_code == 404
    spans = collector.wait_for(lambda spans: any(span.trace == TRACE for span in spans))
    (span,) = (span for span in spans if span.trace == TRACE)
    assert (span.name, span.parent, span.failed) == (ROUTE, SPAN, False)
    assert span.attributes == {
        "http.request.method": "GET",
        "http.route": "/api/v1/sessions/{session_id}",
        "http.response.status_code": "404",
    }
    assert "Anna" not in "".join(collector.bodies)
    assert "Erika" not in "".join(collector.bodies)


def test_a_fault_of_the_gateway_marks_its_span(site: HttpSite, collector: Collector) -> None:
    assert site.get("/models").status_code == 503
    spans = collector.wait_for(lambda spans: any(span.name == "GET /api/v1/models" for span in spans))
    (span,) = (span for span in spans if span.name == "GET /api/v1/models")
    assert (span.failed, span.attributes["http.response.status_code"]) == (True, "503")


def test_answers_stay_in_no_cache_and_run_nothing(site: HttpSite) -> None:
    for path in ("/", "/me", "/openapi.json", "/sessions/none"):
        headers = site.get(path).headers
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"].startswith("default-src 'none'")


def test_a_body_that_trickles_is_refused(lone: Gateway) -> None:
    head = b"POST /api/v1/images?format=nii HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", lone.http_ports["http"])) as client:
        client.sendall(head)
        # A byte every 0.2 s is enough for a limit of the time between two parts.
        for _ in range(200):
            if select.select([client], [], [], 0.2)[0]:
                break
            client.sendall(b"x")
        # As long as its header says: behind it may come a reset, since the last byte sent found the connection closed.
        answer = http.client.HTTPResponse(client)
        answer.begin()
        body = answer.read()
    assert answer.status == 408
    assert b"less than 64 KiB" in body
