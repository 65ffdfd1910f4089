"""The gateway's ports for operators: health without TLS, liveness, readiness, and metrics."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import Metric
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

import sixpoint
from gateway.observability.metrics import Metrics
from gateway.server import Gateway
from gateway.triton.local.server import LocalTriton
from sixpoint.errors import NotFound, Unavailable
from sixpoint.mask import Timings
from sixpoint.phantom import make_phantom
from tests.support.certificates import write_certificates
from tests.support.ports import free_port
from tests.support.servers import running_gateway

OWNER = "Erika Mustermann"
# Methods, and the number of a field of their requests, for names that nobody expects.
HOSTILE = (
    ("/sixpoint.v1.ModelService/{}", 1),
    ("/{}.v1.ModelService/ListModels", 1),
    ("/sixpoint.v1.ModelService/GetModel", 1),
    ("/sixpoint.v1.ImageService/GetImage", 1),
    ("/sixpoint.v1.SessionService/GetSession", 1),
)


def get(gateway: Gateway, path: str, *, accept: str = "*/*", method: str = "GET") -> tuple[int, str, str]:
    """Status, content type and body."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{gateway.status_ports['status']}{path}", headers={"Accept": accept}, method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, response.headers["content-type"], response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers["content-type"], error.read().decode()


def call(channel: grpc.Channel, method: str) -> None:
    """Call a method with an empty message."""
    make: Callable[..., bytes] = channel.unary_unary(method)
    make(b"")


def metrics_of(gateway: Gateway) -> Mapping[tuple[str, frozenset[tuple[str, str]]], float]:
    """All samples, by name and labels."""
    _, content_type, text = get(gateway, "/metrics", accept="application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    families: list[Metric] = list(openmetrics.text_string_to_metric_families(text))  # type: ignore[no-untyped-call]
    return {(sample.name, frozenset(sample.labels.items())): sample.value for one in families for sample in one.samples}


def value(gateway: Gateway, name: str, **labels: str) -> float:
    return metrics_of(gateway).get((name, frozenset(labels.items())), 0.0)


def test_ready_means_that_every_part_can_be_used(triton: LocalTriton) -> None:
    with running_gateway(triton_url=triton.address, status_port=0, health_port=0) as gateway:
        assert get(gateway, "/livez")[0] == 200
        status, content_type, body = get(gateway, "/readyz")
        assert (status, content_type) == (200, "application/json")
        parts = {"database": True, "blob store": True, "Triton": True, "gateway": True}
        assert json.loads(body) == {"ready": True, "parts": parts}
        assert get(gateway, "/docs")[0] == 404


def test_a_gateway_whose_triton_is_away_lives_but_is_not_ready() -> None:
    with running_gateway(ready=False, triton_url="127.0.0.1:1", status_port=0) as gateway:
        assert get(gateway, "/livez")[0] == 200
        status, _, body = get(gateway, "/readyz")
        assert status == 503
        assert json.loads(body)["parts"]["Triton"] is False


@pytest.fixture(scope="module")
def counted(triton: LocalTriton) -> Iterator[Gateway]:
    """A gateway that answered two calls with prompts, one of them with an error."""
    with running_gateway(triton_url=triton.address, status_port=0) as gateway:
        phantom = make_phantom()
        with sixpoint.Client(f"127.0.0.1:{gateway.port}", owner=OWNER) as client:
            session = client.open_session(phantom.image, model="annotation")
            session.annotate(sixpoint.ExtremePoints.of_mask(phantom.mask("liver")))
            session.click((1, 1, 1), positive=False)
            with pytest.raises(NotFound):
                client.resume("none")
        yield gateway


def test_calls_answers_and_phases_are_counted(counted: Gateway) -> None:
    samples = metrics_of(counted)
    answers = {key: number for key, number in samples.items() if key[0] == "sixpoint_answers_total"}
    assert list(answers.values()) == [2.0]
    ((_, labels),) = answers
    assert dict(labels)["model"] == "annotation"
    assert value(counted, "sixpoint_model_served", **dict(labels)) == 1
    assert value(counted, "sixpoint_calls_total", method="AnnotationService/Annotate", code="OK") == 2
    assert value(counted, "sixpoint_calls_total", method="SessionService/GetSession", code="NOT_FOUND") == 1
    assert value(counted, "sixpoint_call_seconds_count", method="AnnotationService/Annotate") == 2
    for phase in ("queue", "preprocess", "inference", "postprocess", "encode", "store"):
        assert value(counted, "sixpoint_prompt_phase_seconds_count", phase=phase) == 2
    spent = value(counted, "sixpoint_prompt_phase_seconds_sum", phase="inference")
    assert 0 < spent < value(counted, "sixpoint_call_seconds_sum", method="AnnotationService/Annotate")


def test_what_the_gateway_holds_can_be_read(counted: Gateway) -> None:
    assert value(counted, "sixpoint_active_calls", kind="prompt") == 0
    assert value(counted, "sixpoint_reserved_bytes", kind="segmentation") == 0
    assert value(counted, "sixpoint_store_up", store="database") == 1
    assert value(counted, "sixpoint_build_info", version=sixpoint.__version__) == 1
    assert value(counted, "process_resident_memory_bytes") > 0
    (address,) = (dict(labels)["triton"] for name, labels in metrics_of(counted) if name == "sixpoint_triton_up")
    assert value(counted, "sixpoint_triton_up", triton=address) == 1
    assert value(counted, "sixpoint_triton_outstanding_calls", triton=address) == 0


def test_the_bytes_of_messages_are_counted_by_method(counted: Gateway) -> None:
    upload, annotate = "ImageService/UploadImage", "AnnotationService/Annotate"
    voxels = make_phantom().image.array.nbytes
    # In chunks, each with a few bytes around it.
    assert voxels < value(counted, "sixpoint_received_bytes_total", method=upload) < 1.001 * voxels
    assert 0 < value(counted, "sixpoint_sent_bytes_total", method=upload) < 1000
    assert 500 < value(counted, "sixpoint_sent_bytes_total", method=annotate) < voxels
    assert 50 < value(counted, "sixpoint_received_bytes_total", method=annotate) < 1000


def test_all_work_that_runs_or_waits_can_be_read(counted: Gateway) -> None:
    samples = metrics_of(counted)

    def by_kind(wanted: str) -> dict[str, float]:
        return {dict(labels)["kind"]: number for (name, labels), number in samples.items() if name == wanted}

    assert by_kind("sixpoint_active_calls") == {"prompt": 0, "segmentation": 0, "upload": 0, "stream": 0}
    assert by_kind("sixpoint_waiting_calls") == {"prompt": 0, "segmentation": 0, "inference": 0}


def test_late_versions_have_one_series_together() -> None:
    metrics = Metrics()
    for number in range(1000):
        metrics.answered(model=f"model{number % 2}", version=str(number), timings=Timings())
        metrics.segmented(model=f"model{number % 2}", version=str(number), timings=Timings())
    lines = metrics.render("")[0].decode().splitlines()
    answers = [line for line in lines if line.startswith("sixpoint_answers_total{")]
    assert 'sixpoint_answers_total{model="other",version="other"} 800.0' in answers
    assert len(answers) == 201


@pytest.mark.slow
async def test_ten_thousand_names_make_no_series(lone: Gateway) -> None:
    def series() -> set[tuple[str, frozenset[tuple[str, str]]]]:
        # What is stored is known after the first sweep.
        return {(name, labels) for name, labels in metrics_of(lone) if name != "sixpoint_stored"}

    async with grpc.aio.insecure_channel(f"127.0.0.1:{lone.port}") as channel:

        async def call(number: int) -> None:
            name = f"Anna{number}"
            method, field = HOSTILE[number % len(HOSTILE)]
            # A field of a string, as it is on the wire.
            request = bytes([field << 3 | 2, len(name)]) + name.encode()
            ask: Any = channel.unary_unary(method.format(name))
            with contextlib.suppress(grpc.RpcError):
                await ask(request, metadata=(("sixpoint-owner", name), ("user-agent", name)), timeout=60)

        await asyncio.gather(*map(call, range(len(HOSTILE))))
        before = series()
        for first in range(0, 10_000, 200):
            await asyncio.gather(*map(call, range(first, first + 200)))
    assert series() == before
    assert "Anna" not in get(lone, "/metrics")[2]


def test_the_classic_text_format_is_served_to_those_who_do_not_ask(counted: Gateway) -> None:
    _, content_type, text = get(counted, "/metrics")
    assert content_type.startswith("text/plain; version=")
    assert "sixpoint_answers_total" in {
        sample.name for one in text_string_to_metric_families(text) for sample in one.samples
    }


def test_a_reader_that_asks_for_an_unknown_format_gets_the_classic_one(counted: Gateway) -> None:
    status, content_type, _ = get(counted, "/metrics", accept="application/openmetrics-text; version=new; escaping=new")
    assert status == 200
    assert content_type.startswith("text/plain; version=")


def test_metrics_name_no_person_and_no_id(counted: Gateway) -> None:
    text = get(counted, "/metrics")[2]
    assert OWNER not in text
    labels = {name for _, pairs in metrics_of(counted) for name, _ in pairs}
    allowed = {
        "code",
        "kind",
        "le",
        "method",
        "model",
        "outcome",
        "phase",
        "state",
        "store",
        "triton",
        "version",
        "what",
    }
    assert labels <= allowed
    # An unknown method has no series of its own: a caller could make any number of them.
    with grpc.insecure_channel(f"127.0.0.1:{counted.port}") as channel, pytest.raises(grpc.RpcError):
        call(channel, "/sixpoint.v1.ModelService/Guess")
    assert "Guess" not in get(counted, "/metrics")[2]


def test_health_without_tls_beside_a_port_with_it(tmp_path: Path) -> None:
    files = write_certificates(tmp_path / "files", "127.0.0.1")
    with (
        running_gateway(
            ready=False,
            triton_url="127.0.0.1:1",
            health_port=0,
            tls_cert_file=files.certificate,
            tls_key_file=files.key,
        ) as gateway,
        grpc.insecure_channel(f"127.0.0.1:{gateway.status_ports['health']}") as channel,
    ):
        check = health_pb2_grpc.HealthStub(channel).Check
        live = check(health_pb2.HealthCheckRequest(service="sixpoint.v1.ImageService"))
        assert live.status == health_pb2.HealthCheckResponse.SERVING
        assert check(health_pb2.HealthCheckRequest()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        # Nothing else is served there.
        with pytest.raises(grpc.RpcError) as caught:
            call(channel, "/sixpoint.v1.SessionService/ListSessions")
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("setting", ["status_port", "health_port"])
def test_a_port_that_is_taken_is_named_with_its_setting(setting: str) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(Unavailable, match=f"127.0.0.1:{port}.* SIXPOINT_{setting.upper()}"),
            running_gateway(ready=False, triton_url="127.0.0.1:1", **{setting: port}),
        ):
            pass


@pytest.fixture(scope="module")
def lone() -> Iterator[Gateway]:
    """A gateway without Triton."""
    with running_gateway(ready=False, triton_url="127.0.0.1:1", status_port=0) as gateway:
        yield gateway


def test_connections_that_end_no_request_shut_nobody_out(lone: Gateway) -> None:
    address = "127.0.0.1", lone.status_ports["status"]
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(socket.create_connection(address)) for _ in range(200)]
        for connection in idle:
            with contextlib.suppress(ConnectionError):
                connection.sendall(b"GET /livez HT")
        assert get(lone, "/livez")[0] == 200
        # All but the newest 64 are closed: they would take the descriptors that other connections need.
        idle[0].settimeout(20)
        with contextlib.suppress(ConnectionError):
            assert idle[0].recv(1) == b""


def test_a_request_that_is_none_leaves_no_line_in_the_log(lone: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.INFO),
        socket.create_connection(("127.0.0.1", lone.status_ports["status"]), timeout=20) as connection,
    ):
        connection.sendall(b"\x16\x03\x01 what else\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")
    assert not [record for record in caplog.records if record.name.startswith("uvicorn")]


def test_a_probe_may_ask_without_wanting_the_body(lone: Gateway) -> None:
    assert [get(lone, path, method="HEAD")[::2] for path in ("/livez", "/readyz")] == [(200, ""), (503, "")]


def test_probes_are_answered_while_the_gateway_drains() -> None:
    with contextlib.ExitStack() as stack:
        gateway = stack.enter_context(
            running_gateway(
                ready=False, triton_url="127.0.0.1:1", status_port=0, health_port=0, drain_notice_seconds=1.0
            )
        )
        stopping = threading.Thread(target=stack.pop_all().close)
        stopping.start()
        while json.loads(get(gateway, "/readyz")[2])["parts"]["gateway"]:
            time.sleep(0.01)
        assert get(gateway, "/livez")[0] == 200
        with grpc.insecure_channel(f"127.0.0.1:{gateway.status_ports['health']}") as channel:
            live = health_pb2.HealthCheckRequest(service="sixpoint.v1.ImageService")
            status = health_pb2_grpc.HealthStub(channel).Check(live).status
        assert status == health_pb2.HealthCheckResponse.NOT_SERVING
        stopping.join()


@pytest.mark.parametrize(("host", "reached"), [("::1", ["::1"]), ("[::1]", ["::1"]), ("::", ["::1", "127.0.0.1"])])
def test_all_ports_listen_on_an_ipv6_address(host: str, reached: list[str]) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with running_gateway(
        ready=False, triton_url="127.0.0.1:1", host=host, status_port=0, health_port=0, insecure=True
    ) as gateway:
        for port in (gateway.port, *gateway.status_ports.values()):
            for address in reached:
                with socket.create_connection((address, port), timeout=20) as connection:
                    assert connection.getpeername()[1] == port
