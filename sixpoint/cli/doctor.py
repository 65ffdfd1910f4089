"""``sixpoint doctor``: what is wrong between client, gateway and Triton, in plain words."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TypeVar

import grpc
import numpy as np
import typer
from rich.console import Console
from rich.markup import escape

from sixpoint.cli.common import DEFAULT_SERVER, AsJson, Server, app, print_json
from sixpoint.client import Client, Retry, Session, Timeout
from sixpoint.errors import SixpointError, Unavailable
from sixpoint.metrics import dice
from sixpoint.phantom import make_phantom
from sixpoint.prompts import ExtremePoints

__all__ = ["Finding", "doctor", "examine"]

_Result = TypeVar("_Result")

_ORGAN = "liver"
_TIMEOUT_S = 20.0
# Less than this nobody notices; more makes sessions seem to have expired.
_CLOCK_S = 60.0
_SERVICES = ("ImageService", "ModelService", "SessionService", "AnnotationService")
_SERVING = b"\x08\x01"
"""A ``grpc.health.v1.HealthCheckResponse`` that says SERVING, as it travels: field 1, value 1."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: whether it is well, what was seen, and what to do if it is not."""

    what: str
    well: bool
    seen: str
    advice: str = ""


@app.command(epilog="Example: sixpoint doctor --server gateway.hospital.example:50051")
def doctor(server: Server = DEFAULT_SERVER, as_json: AsJson = False) -> None:
    """Look at everything between you and the model, and say in plain words what is wrong and what to do."""
    console = Console()
    findings = []
    for finding in examine(server):
        findings.append(finding)
        if not as_json:
            mark = "[green]ok[/]   " if finding.well else "[bold red]wrong[/]"
            console.print(f"{mark} {finding.what}: {escape(finding.seen)}", highlight=False, soft_wrap=True)
            if finding.advice:
                console.print(f"      {escape(finding.advice)}", highlight=False, soft_wrap=True)
    if as_json:
        print_json([asdict(finding) for finding in findings])
    if not all(finding.well for finding in findings):
        raise typer.Exit(7)


def examine(server: str) -> Iterator[Finding]:
    """Look at one thing after the other, until one is wrong that the others need.

    Args:
        server: host:port of the gateway.
    """
    python = ".".join(map(str, sys.version_info[:3]))
    yield Finding("client", True, f"sixpoint {version('sixpoint')}, gRPC {grpc.__version__}, Python {python}")
    reached = _reach(server)
    yield reached
    if not reached.well:
        return
    with Client(server, timeout=Timeout(_TIMEOUT_S, _TIMEOUT_S), retry=Retry.none()) as client:
        alive = _health(client.channel, "sixpoint.v1.ImageService", "gateway")
        yield alive
        if not alive.well:
            return
        for looked in (_models, _clock_and_prompt):
            for finding in looked(client):
                yield finding
                if not finding.well:
                    return


def _reach(server: str) -> Finding:
    host, _, port = server.rpartition(":")
    if not host or not port.isdecimal():
        return Finding(
            "address", False, f"{server!r} is no host:port", "Name the gateway as host:port, e.g. gpu1:50051."
        )
    try:
        where = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0][4]
    except OSError as error:
        return Finding("name", False, f"{host} cannot be resolved ({error})", "Check the name, or your network's DNS.")
    started = time.perf_counter()
    try:
        socket.create_connection((str(where[0]), int(port)), timeout=5).close()
    except OSError as error:
        return Finding(
            "connection",
            False,
            f"nothing listens at {where[0]}, port {port} ({error})",
            "Start a gateway there (`make serve`), or name another with --server or SIXPOINT_SERVER. If it runs, a "
            "firewall may be in between, or it listens on 127.0.0.1 only (SIXPOINT_HOST=0.0.0.0).",
        )
    milliseconds = (time.perf_counter() - started) * 1000
    return Finding("connection", True, f"{where[0]}, port {port}, in {milliseconds:.1f} ms")


def _health(channel: grpc.Channel, service: str, what: str) -> Finding:
    """Ask gRPC's health service, without its package: the client is to stay light."""
    check: Callable[..., bytes] = channel.unary_unary(
        "/grpc.health.v1.Health/Check", request_serializer=lambda name: b"\x0a" + bytes([len(name)]) + name.encode()
    )
    try:
        answer = check(service, timeout=_TIMEOUT_S)
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return _no_gateway(code.name)
    if answer != _SERVING:
        return Finding(what, False, f"{service} does not serve", "The gateway is shutting down; try again in a minute.")
    return Finding(what, True, "is there, and says that it serves")


def _no_gateway(why: str) -> Finding:
    return Finding(
        "gateway",
        False,
        f"something listens there, but it is no gateway of sixpoint ({why})",
        "Check the port: 8001 is Triton's, 50051 the gateway's. A proxy in between must speak HTTP/2 without TLS.",
    )


def _models(client: Client) -> Iterator[Finding]:
    try:
        found = client.models()
    except Unavailable as error:
        yield Finding(
            "Triton",
            False,
            error.message,
            "The gateway is well, but Triton does not answer it: look at Triton's log, and at SIXPOINT_TRITON_URL "
            "where the gateway runs.",
        )
        return
    except SixpointError as error:
        yield _no_gateway(error.message)
        return
    names = ", ".join(f"{one.name} {one.version}" for one in found)
    if not any("extreme_points" in one.prompts for one in found):
        yield Finding(
            "Triton",
            False,
            f"it serves no model that takes points ({names or 'no model at all'})",
            "Export one into its model repository: `exporter export CHECKPOINT`; models that do not describe "
            "themselves are left out, and the gateway's log says why.",
        )
        return
    yield Finding("Triton", True, f"serves {names}")
    for service in _SERVICES:
        finding = _health(client.channel, f"sixpoint.v1.{service}", service)
        if not finding.well:
            yield finding


def _clock_and_prompt(client: Client) -> Iterator[Finding]:
    phantom = make_phantom()
    truth = phantom.mask(_ORGAN)
    model = next(one.name for one in client.models() if "extreme_points" in one.prompts)
    try:
        sent, (uploaded, session) = _timed(lambda: _open(client, model))
        with session:
            off = abs((datetime.now(UTC) - session.refresh().used).total_seconds())
            asked, mask = _timed(lambda: session.annotate(ExtremePoints.of_mask(truth)))
    except SixpointError as error:
        yield Finding("a prompt", False, error.message, "The gateway's log says more.")
        return
    if off > _CLOCK_S:
        yield Finding(
            "clocks",
            False,
            f"yours and the gateway's are {off:.0f} s apart",
            "Set both by NTP: times of sessions are wrong.",
        )
    yield Finding("an upload", True, f"{uploaded / 2**20:.1f} MiB, and a session on it, in {sent * 1000:.0f} ms")
    if not mask.array.any():
        yield Finding("a prompt", False, "the answer is empty", f"Look at model {model}: `exporter validate`.")
        return
    triton = mask.timings.inference.total_seconds() * 1000
    yield Finding(
        "a prompt",
        True,
        f"model {model} outlined the phantom's {_ORGAN} in {asked * 1000:.0f} ms ({triton:.0f} ms of them Triton's), "
        f"Dice {dice(np.asarray(mask.array), truth):.2f}",
    )


def _open(client: Client, model: str) -> tuple[int, Session]:
    image = make_phantom().image
    return image.array.nbytes, client.open_session(image, model=model)


def _timed(work: Callable[[], _Result]) -> tuple[float, _Result]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result
