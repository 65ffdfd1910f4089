"""``sixpoint doctor``: what is wrong between client, gateway and Triton, in plain words."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TypeVar

import grpc
import typer
from rich.console import Console
from rich.markup import escape

from sixpoint.cli.common import DEFAULT_SERVER, AsJson, Server, app, print_json
from sixpoint.client import Client, Retry, Timeout
from sixpoint.errors import SixpointError, Unavailable
from sixpoint.metrics import dice
from sixpoint.phantom import make_phantom
from sixpoint.prompts import ExtremePoints

__all__ = ["Finding", "doctor", "examine"]

_Result = TypeVar("_Result")

_ORGAN = "liver"
_TIMEOUT_S = 20.0
_CONNECT_S = 5.0
# Less than this nobody notices; more makes sessions seem to have expired.
_CLOCK_S = 60.0
_PACKAGE = "sixpoint.v1"
# Read by gRPC, in this order.
_PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")
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
        for looked in (_gateway, _models, _prompt):
            try:
                for finding in looked(client):
                    yield finding
                    if not finding.well:
                        return
            except SixpointError as error:
                yield Finding("gateway", False, error.message, "The gateway's log says more.")
                return


def _reach(server: str) -> Finding:
    host, _, port = server.rpartition(":")
    if not host or not port.isdecimal():
        return Finding(
            "address", False, f"{server!r} is no host:port", "Name the gateway as host:port, e.g. gpu1:50051."
        )
    host = host.strip("[]")
    try:
        found = {str(one[4][0]) for one in socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError) as error:
        return Finding("name", False, f"{host} cannot be resolved ({error})", "Check the name, or your network's DNS.")
    started = time.perf_counter()
    try:
        # Tries one address after the other, as gRPC does.
        with socket.create_connection((host, int(port)), timeout=_CONNECT_S) as connection:
            where = str(connection.getpeername()[0])
    except (OSError, OverflowError) as error:
        return Finding(
            "connection",
            False,
            f"nothing listens at {' or '.join(sorted(found))}, port {port} ({error})",
            "Start a gateway there (`make serve`), or name another with --server or SIXPOINT_SERVER. If it runs, a "
            "firewall may be in between, or it listens on 127.0.0.1 only (SIXPOINT_HOST=0.0.0.0).",
        )
    milliseconds = (time.perf_counter() - started) * 1000
    return Finding("connection", True, f"{where}, port {port}, in {milliseconds:.1f} ms")


def _gateway(client: Client) -> Iterator[Finding]:
    alive = _health(client.channel, f"{_PACKAGE}.ImageService", "gateway")
    if alive.well:
        try:
            # Triton answers for its health, too, whatever the service's name; only a gateway knows sessions.
            client.sessions()
        except Unavailable as error:
            alive = Finding(
                "gateway", False, error.message, "It is there, but cannot reach what it keeps sessions in: see its log."
            )
        except SixpointError as error:
            alive = _no_gateway(error.message)
    yield alive


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
    advice = "Check the port: 8001 is Triton's, 50051 the gateway's. A proxy in between must speak HTTP/2 without TLS."
    named = [name for name in _PROXIES if os.environ.get(name)]
    if named:
        advice += f" gRPC goes through the proxy of {named[0]}, unless no_proxy names the gateway."
    return Finding("gateway", False, f"something listens there, but it is no gateway of sixpoint ({why})", advice)


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
        finding = _health(client.channel, f"{_PACKAGE}.{service}", service)
        if not finding.well:
            yield finding


def _prompt(client: Client) -> Iterator[Finding]:
    phantom = make_phantom()
    image, truth = phantom.image, phantom.mask(_ORGAN)
    prompt = ExtremePoints.of_mask(truth)
    sent: list[int] = []
    model = next(one.name for one in client.models() if "extreme_points" in one.prompts)
    try:
        opening, session = _timed(
            lambda: client.open_session(image, model=model, progress=lambda done, _: sent.append(done))
        )
        with session:
            off = abs((datetime.now(UTC) - session.refresh().used).total_seconds())
            asking, mask = _timed(lambda: session.annotate(prompt))
    except SixpointError as error:
        yield Finding("a prompt", False, error.message, "The gateway's log says more.")
        return
    size = f"{image.array.nbytes / 2**20:.1f} MiB"
    uploaded = size if sent else f"none, its {size} were there already"
    yield Finding("an upload", True, f"{uploaded}, and a session on it, in {opening * 1000:.0f} ms")
    if not mask.array.any():
        yield Finding("a prompt", False, "the answer is empty", f"Look at model {model}: `exporter validate`.")
        return
    triton = mask.timings.inference.total_seconds() * 1000
    yield Finding(
        "a prompt",
        True,
        f"model {model} outlined the phantom's {_ORGAN} in {asking * 1000:.0f} ms ({triton:.0f} ms of them Triton's), "
        f"Dice {dice(mask.array, truth):.2f}",
    )
    if off > _CLOCK_S:
        advice = "Set both by NTP: what is said of when sessions were used, and close, is wrong."
        yield Finding("clocks", False, f"yours and the gateway's are {off:.0f} s apart", advice)


def _timed(work: Callable[[], _Result]) -> tuple[float, _Result]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result
