"""Traces: from a client through the gateway's phases into the real Triton, and what a collector must not do."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from pydantic import ValidationError

import sixpoint
from gateway.observability.logs import JsonFormatter
from gateway.observability.trace_export import exporting
from gateway.server import Gateway
from gateway.settings import Settings
from sixpoint.errors import FailedPrecondition
from sixpoint.phantom import make_phantom
from sixpoint.protocol import prompt_to_message
from sixpoint.v1 import annotation_service_pb2 as annotation_pb
from sixpoint.v1 import annotation_service_pb2_grpc as annotation_grpc
from sixpoint.v1 import session_service_pb2 as session_pb
from sixpoint.v1 import session_service_pb2_grpc as session_grpc
from tests.support.collector import Collector, Span, collecting
from tests.support.paths import ROOT, TRITON_ENVIRONMENT
from tests.support.servers import running_gateway, running_triton

pytest.importorskip("opentelemetry.sdk", reason="the extra tracing is not installed")

METHOD = "sixpoint.v1.AnnotationService/Annotate"
# Of a span, as OTLP numbers them.
SERVER, CLIENT = 2, 3
STREAM = "sixpoint.v1.AnnotationService/Interact"
LIST = "sixpoint.v1.ModelService/ListModels"
SEGMENTATION = "segmentation_hippocampus"
_ATTEMPTS = 6
# Ids of traces, by a number.
TRACE = "4bf92f3577b34da6a3ce929d0e0e{:04x}"


@dataclass
class Traced:
    """A gateway with its Triton and the collector of both."""

    gateway: Gateway
    collector: Collector


@pytest.fixture(scope="module", autouse=True)
def _soon() -> Iterator[None]:
    """Spans are sent twice a second, not every five."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "500")
        yield


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    if not TRITON_ENVIRONMENT.is_dir():
        pytest.skip("Triton is not installed: make triton")
    repository = tmp_path_factory.mktemp("traced") / "repository"
    for model in ("annotation", SEGMENTATION):
        shutil.copytree(ROOT / "model_repository" / model, repository / model)
    with (
        collecting() as collector,
        running_triton(repository, traces_url=collector.url) as triton,
        running_gateway(triton_url=triton.address, traces_url=collector.url) as gateway,
    ):
        yield Traced(gateway, collector)


def named(spans: list[Span], name: str) -> Span:
    """The one span of the gateway with a name; of the phases that occur twice, the first."""
    return next(span for span in spans if span.name == name and span.service == "sixpoint-gateway")


def of_trace(collector: Collector, trace: str, *wanted: tuple[str, str]) -> list[Span]:
    """The spans of a trace, once some with a service and a name are among them."""

    def has_all(spans: list[Span]) -> bool:
        return {*wanted} <= {(span.service, span.name) for span in spans if span.trace == trace}

    return [span for span in collector.wait_for(has_all, seconds=8) if span.trace == trace]


def trace_into_triton(traced: Traced) -> list[Span]:
    """The spans of a prompt of another program; of several, since Triton loses some of its spans."""
    program = Path(__file__).with_name("traced_client.py")
    command = [sys.executable, str(program), f"127.0.0.1:{traced.gateway.port}", traced.collector.url]
    for _ in range(_ATTEMPTS):
        subprocess.run(command, check=True, timeout=120, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
        trace = [span for span in traced.collector.spans if span.name == "prompt"][-1].trace
        with contextlib.suppress(AssertionError):
            return of_trace(traced.collector, trace, ("triton", "compute"), ("sixpoint-gateway", METHOD))
    raise AssertionError("Triton sent no spans")


def annotate(gateway: Gateway, *metadata: tuple[str, str]) -> None:
    """Open a session and send six points, all with metadata."""
    phantom = make_phantom()
    with sixpoint.Client(f"127.0.0.1:{gateway.port}") as client:
        session = client.open_session(phantom.image, model="annotation", keep=True)
        request = annotation_pb.AnnotateRequest(session_id=session.id, segment=1)
        request.prompts.append(prompt_to_message(sixpoint.ExtremePoints.of_mask(phantom.mask("liver"))))
        annotation_grpc.AnnotationServiceStub(client.channel).Annotate(request, metadata=metadata, timeout=60)


@pytest.mark.slow
@pytest.mark.triton
def test_a_trace_leads_from_the_client_through_the_phases_into_triton(traced: Traced) -> None:
    spans = trace_into_triton(traced)
    outermost = next(span for span in spans if span.name == "prompt")
    client = next(span for span in spans if span.service == "viewer" and span is not outermost)
    server = named(spans, METHOD)
    assert (client.name, client.kind, client.parent) == (METHOD, CLIENT, outermost.id)
    assert (server.kind, server.parent, server.failed) == (SERVER, client.id, False)
    assert server.attributes == {
        "rpc.system.name": "grpc",
        "rpc.method": METHOD,
        "rpc.response.status_code": "OK",
        "sixpoint.model": "annotation",
        "sixpoint.version": "5",
    }
    phases = [span for span in spans if span.parent == server.id]
    assert {span.name for span in phases} == {"queue", "preprocess", "inference", "postprocess", "encode", "store"}
    assert all(server.start <= span.start <= span.end <= server.end and not span.attributes for span in phases)
    starts = [named(phases, name).start for name in ("queue", "preprocess", "inference", "postprocess", "encode")]
    assert starts == sorted(starts)
    inference = named(phases, "inference")
    assert inference.kind == CLIENT
    triton = {span.name: span for span in spans if span.service == "triton"}
    assert triton["InferRequest"].parent == inference.id
    assert triton["annotation"].parent == triton["InferRequest"].id
    assert triton["compute"].parent == triton["annotation"].id
    # It ends its spans after it has answered.
    assert inference.start <= triton["compute"].start <= inference.end
    check_other_calls(traced.collector)


def check_other_calls(collector: Collector) -> None:
    """Of the other program: a call of the client for asyncio, and one that is refused."""
    called = next(span for span in collector.spans if span.name == "asynchronous")
    spans = of_trace(collector, called.trace, ("viewer", LIST), ("sixpoint-gateway", LIST))
    client = next(span for span in spans if span.name == LIST and span.service == "viewer")
    assert (client.kind, client.parent, named(spans, LIST).parent) == (CLIENT, called.id, client.id)
    codes = {span.attributes.get("rpc.response.status_code"): span for span in collector.spans if span.kind == CLIENT}
    assert (codes["NOT_FOUND"].name, codes["NOT_FOUND"].failed) == ("sixpoint.v1.ImageService/GetImage", True)
    assert "exception" not in "".join(collector.bodies)


@pytest.mark.slow
@pytest.mark.triton
def test_an_action_of_a_stream_has_a_span_of_its_own(traced: Traced) -> None:
    phantom, trace = make_phantom(), TRACE.format(7)
    with sixpoint.Client(f"127.0.0.1:{traced.gateway.port}") as client:
        session = client.open_session(phantom.image, model="annotation", keep=True)
        request = annotation_pb.InteractRequest(id=1)
        request.annotate.session_id, request.annotate.segment = session.id, 1
        points = sixpoint.ExtremePoints.of_mask(phantom.mask("liver"))
        request.annotate.prompts.append(prompt_to_message(points))
        stub = annotation_grpc.AnnotationServiceStub(client.channel)
        list(stub.Interact(iter([request]), metadata=(("traceparent", f"00-{trace}-00f067aa0ba902b7-01"),), timeout=60))
    spans = of_trace(traced.collector, trace, ("sixpoint-gateway", STREAM))
    action = named(spans, "action annotate")
    assert action.parent == named(spans, STREAM).id
    assert action.attributes == {"sixpoint.model": "annotation", "sixpoint.version": "5"}
    assert {named(spans, name).parent for name in ("preprocess", "inference", "encode", "store")} == {action.id}


@pytest.mark.slow
@pytest.mark.triton
def test_a_segmentation_has_a_span_for_each_patch_in_triton(traced: Traced) -> None:
    trace, method = TRACE.format(8), "sixpoint.v1.AnnotationService/Segment"
    image = np.random.default_rng(1).integers(0, 1000, (40, 50, 60), np.int16)
    with sixpoint.Client(f"127.0.0.1:{traced.gateway.port}") as client:
        request = annotation_pb.SegmentRequest(image_digest=client.upload(image, spacing=(1, 1, 1)), model=SEGMENTATION)
        stub = annotation_grpc.AnnotationServiceStub(client.channel)
        events = list(stub.Segment(request, metadata=(("traceparent", f"00-{trace}-00f067aa0ba902b7-01"),), timeout=60))
    spans = of_trace(traced.collector, trace, ("sixpoint-gateway", method))
    server = named(spans, method)
    assert server.attributes["sixpoint.model"] == SEGMENTATION
    phases = Counter(span.name for span in spans if span.parent == server.id and span.name != "queue")
    patches = max(event.progress.patch_count for event in events)
    labels = sum(event.HasField("label") for event in events)
    assert phases == {"preprocess": 1, "inference": patches, "encode": labels}


@pytest.mark.slow
@pytest.mark.triton
def test_neither_gateway_nor_triton_sends_what_the_caller_does_not(traced: Traced) -> None:
    unwanted = TRACE.format(1)
    for _ in range(3):
        annotate(traced.gateway, ("traceparent", f"00-{unwanted}-00f067aa0ba902b7-00"))
    trace_into_triton(traced)
    assert unwanted not in {span.trace for span in traced.collector.spans}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture
def lone(collector: Collector) -> Iterator[Gateway]:
    """A gateway without Triton that traces."""
    with running_gateway(ready=False, triton_url="127.0.0.1:1", traces_url=collector.url, status_port=0) as gateway:
        yield gateway


def describe(gateway: Gateway, *metadata: tuple[str, str], session_id: str = "none") -> str:
    """Ask for a session that does not exist; returns the name of the status code."""
    with grpc.insecure_channel(f"127.0.0.1:{gateway.port}") as channel, pytest.raises(grpc.RpcError) as caught:
        session_grpc.SessionServiceStub(channel).GetSession(
            session_pb.GetSessionRequest(session_id=session_id), metadata=metadata, timeout=20
        )
    name: str = caught.value.code().name
    return name


def test_a_refused_call_says_with_which_code_and_nothing_of_what_was_asked(lone: Gateway, collector: Collector) -> None:
    assert describe(lone, ("sixpoint-owner", "Erika"), session_id="Anna-Example") == "NOT_FOUND"
    (span,) = collector.wait_for(lambda spans: len(spans) == 1)
    assert span.attributes["rpc.response.status_code"] == "NOT_FOUND"
    assert not span.failed
    assert "Erika" not in collector.bodies[0]
    assert "Anna" not in collector.bodies[0]


@pytest.mark.parametrize(
    "metadata",
    [
        [("traceparent", "Anna Example, 1970-01-01")],
        [("traceparent", f"00-{TRACE.format(3)}-00f067aa0ba902b7-01"), ("traceparent", "00-x-y-01")],
        [("tracestate", "patient=Anna")],
        [("baggage", "patient=Anna"), ("tracestate", "Anna")],
    ],
)
def test_what_is_no_parent_begins_a_trace(metadata: list[tuple[str, str]], lone: Gateway, collector: Collector) -> None:
    describe(lone, *metadata)
    (span,) = collector.wait_for(lambda spans: len(spans) == 1)
    assert span.parent == ""
    assert "Anna" not in collector.bodies[0]


def test_the_state_of_a_trace_is_not_passed_on(lone: Gateway, collector: Collector) -> None:
    describe(lone, ("traceparent", f"00-{TRACE.format(4)}-00f067aa0ba902b7-01"), ("tracestate", "patient=Anna"))
    (span,) = collector.wait_for(lambda spans: len(spans) == 1)
    assert (span.trace, span.parent) == (TRACE.format(4), "00f067aa0ba902b7")
    assert "Anna" not in collector.bodies[0]


def test_the_last_spans_are_sent_when_the_gateway_stops(collector: Collector) -> None:
    with running_gateway(ready=False, triton_url="127.0.0.1:1", traces_url=collector.url) as gateway:
        for _ in range(5):
            describe(gateway)
    assert len(collector.spans) == 5


def test_nothing_is_sent_of_traces_that_are_not_chosen(collector: Collector) -> None:
    settings: dict[str, Any] = {"traces_url": collector.url, "traces_ratio": 0.0, "traces_service": "other"}
    with running_gateway(ready=False, triton_url="127.0.0.1:1", **settings) as gateway:
        describe(gateway)
        describe(gateway, ("traceparent", f"00-{TRACE.format(5)}-00f067aa0ba902b7-01"))
    assert [(span.service, span.trace) for span in collector.spans] == [("other", TRACE.format(5))]


def spans_counted(gateway: Gateway, outcome: str) -> float:
    url = f"http://127.0.0.1:{gateway.status_ports['status']}/metrics"
    with urllib.request.urlopen(url, timeout=20) as response:
        text = response.read().decode()
    found = re.search(rf'sixpoint_trace_spans_total{{outcome="{outcome}"}} ([\d.e+]+)', text)
    return float(found[1]) if found else 0.0


def test_spans_that_a_collector_refuses_are_counted(lone: Gateway, collector: Collector) -> None:
    collector.answer = 400
    describe(lone)
    end = time.monotonic() + 20
    while not spans_counted(lone, "failed") and time.monotonic() < end:
        time.sleep(0.05)
    assert spans_counted(lone, "failed") == 1


async def test_a_collector_that_hangs_neither_fills_memory_nor_delays_the_end(collector: Collector) -> None:
    counts: Counter[str] = Counter()
    collector.open.clear()

    def count(outcome: str, spans: int) -> None:
        counts[outcome] += spans

    async with exporting(collector.url, ratio=1.0, service="test", on_spans=count, patience=0.2) as tracer:
        for _ in range(10_000):
            with tracer.call("sixpoint.v1.ModelService/ListModels", parent=""):
                pass
        # What is on its way, and what waits.
        assert 10_000 - 512 - 4096 <= counts["dropped"] <= 10_000 - 4096
        started = time.monotonic()
    assert time.monotonic() - started < 3
    collector.open.set()


def test_the_sdk_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    message = r"SIXPOINT_TRACES_URL is set, but .*pip install 'sixpoint\[gateway,tracing\]'"
    with (
        pytest.raises(FailedPrecondition, match=message),
        running_gateway(ready=False, triton_url="127.0.0.1:1", traces_url="http://127.0.0.1:1"),
    ):
        pass


def test_a_line_of_the_log_has_the_id_of_its_trace(lone: Gateway) -> None:
    formatter, lines = JsonFormatter(), []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(json.loads(formatter.format(record)))

    log, handler = logging.getLogger("gateway.grpc.interceptors"), Lines()
    level = log.level
    log.addHandler(handler)
    log.setLevel("INFO")
    try:
        describe(lone, ("traceparent", f"00-{TRACE.format(6)}-00f067aa0ba902b7-01"))
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
    (line,) = [line for line in lines if line["message"] == "call"]
    assert line["trace"] == TRACE.format(6)


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("http://collector:4318", "http://collector:4318/v1/traces"),
        ("https://collector/", "https://collector/v1/traces"),
        ("http://collector:4318/in/traces", "http://collector:4318/in/traces"),
    ],
)
def test_a_url_without_a_path_gets_that_of_otlp(given: str, used: str) -> None:
    settings = Settings(traces_url=given)
    assert settings.traces_url == used
    assert settings.local_triton().traces_url == used


@pytest.mark.parametrize(
    "url", ["collector:4318", "grpc://collector:4317", "http://", "http://a:b@host", "http://h/?a"]
)
def test_a_url_that_cannot_be_used_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match=r"a URL .*is expected"):
        Settings(traces_url=url)
