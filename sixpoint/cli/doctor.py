"""``sixpoint doctor``: check client, gateway and Triton in turn, and say what to do about the first problem."""

from __future__ import annotations

import os
import socket
import ssl
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Annotated, TypeVar

import grpc
import typer
from rich.console import Console
from rich.markup import escape

from sixpoint.cli.common import JsonOption, ServerOption, app, print_json
from sixpoint.client import Client, Retry, Timeout
from sixpoint.errors import InvalidArgument, SixpointError, Unavailable
from sixpoint.metrics import dice
from sixpoint.model_spec import ImplausibleImageWarning
from sixpoint.phantom import make_phantom
from sixpoint.prompts import ExtremePoints
from sixpoint.protocol import DEFAULT_SERVER, describe_foreign_server, parse_address, resolve_target

__all__ = ["Finding", "doctor", "examine"]

_Result = TypeVar("_Result")

AddressArgument = Annotated[
    str | None,
    typer.Argument(help="Address of the gateway. It counts more than --server.", metavar="HOST[:PORT]"),
]

_ORGAN = "liver"
_TIMEOUT_S = 20.0
_CONNECT_TIMEOUT_S = 5.0
# A smaller difference is not noticed; a larger one makes sessions appear to have expired.
_MAX_CLOCK_DIFFERENCE_S = 60.0
_PACKAGE = "sixpoint.v1"
# gRPC reads these, in this order.
_PROXY_VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy")
_SERVICES = ("ImageService", "ModelService", "SessionService", "AnnotationService")
_SERVING = b"\x08\x01"
"""A serialized ``grpc.health.v1.HealthCheckResponse`` with the status SERVING: field 1, value 1."""


@dataclass(frozen=True)
class Finding:
    """The result of one check. Its attributes are the keys of ``sixpoint doctor --json``.

    Attributes:
        what: Name of the part that was checked.
        well: Whether it works.
        seen: What the check observed.
        advice: Action to take where it does not work.
    """

    what: str
    well: bool
    seen: str
    advice: str = ""


@app.command(epilog="Example: sixpoint doctor gateway.hospital.example:50051")
def doctor(address: AddressArgument = None, server: ServerOption = DEFAULT_SERVER, as_json: JsonOption = False) -> None:
    """Check everything from this client to the model, and say what is wrong and what to do about it."""
    console = Console()
    findings = []
    for finding in examine(server if address is None else address):
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
    """Check one part after the other, and stop at the first problem that prevents the next checks.

    Args:
        server: Address of the gateway.
    """
    python = ".".join(map(str, sys.version_info[:3]))
    yield Finding("client", True, f"sixpoint {version('sixpoint')}, gRPC {grpc.__version__}, Python {python}")
    connection = _check_connection(server)
    yield connection
    if not connection.well:
        return
    with Client(server, timeout=Timeout(_TIMEOUT_S, _TIMEOUT_S), retry=Retry.none()) as client:
        for check in (_check_gateway, _check_models, _check_prompt):
            try:
                for finding in check(client):
                    yield finding
                    if not finding.well:
                        return
            except SixpointError as error:
                yield Finding("gateway", False, error.message, "Look at the gateway's log.")
                return


def _check_connection(server: str) -> Finding:
    try:
        target = resolve_target(server)
    except InvalidArgument as error:
        return Finding("address", False, error.message, "Correct the argument, --server, or SIXPOINT_SERVER.")
    try:
        address = parse_address(target)
    except InvalidArgument:
        return Finding("connection", True, f"{target} is a target name of gRPC, and left to it")
    host, port = address.host, address.port
    try:
        addresses = {str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError) as error:
        return Finding("name", False, f"{host} cannot be resolved ({error})", "Check the name, or your network's DNS.")
    started = time.perf_counter()
    try:
        # Like gRPC, this tries the addresses one by one.
        with socket.create_connection((host, port), timeout=_CONNECT_TIMEOUT_S) as connection:
            peer = str(connection.getpeername()[0])
    except (OSError, OverflowError) as error:
        return Finding(
            "connection",
            False,
            f"nothing listens at {' or '.join(sorted(addresses))}, port {port} ({error})",
            "Start a gateway there (`make serve`), or name another with --server or SIXPOINT_SERVER. If it runs, check "
            "the firewall in between, and whether it listens on 127.0.0.1 only (SIXPOINT_HOST=0.0.0.0 for all).",
        )
    milliseconds = (time.perf_counter() - started) * 1000
    return Finding("connection", True, f"{peer}, port {port}, in {milliseconds:.1f} ms")


def _check_gateway(client: Client) -> Iterator[Finding]:
    finding = _check_health(client, f"{_PACKAGE}.ImageService", "gateway")
    if finding.well:
        try:
            # Triton's health service says SERVING too, for any service name; only a gateway has sessions.
            client.sessions()
        except Unavailable as error:
            if isinstance(error.__cause__, grpc.RpcError) and (reason := describe_foreign_server(error.__cause__)):
                yield _not_a_gateway(client, reason)
                return
            finding = Finding(
                "gateway",
                False,
                error.message,
                "The gateway runs, but does not reach its database or blob store. Look at its log.",
            )
        except SixpointError as error:
            finding = _not_a_gateway(client, error.message)
    yield finding


def _check_health(client: Client, service: str, what: str) -> Finding:
    """Ask gRPC's health service for one service.

    Its messages are written by hand, since the client does not depend on grpcio-health-checking.
    """
    check: Callable[..., bytes] = client.channel.unary_unary(
        "/grpc.health.v1.Health/Check", request_serializer=lambda name: b"\x0a" + bytes([len(name)]) + name.encode()
    )
    try:
        response = check(service, timeout=_TIMEOUT_S)
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return _not_a_gateway(client, describe_foreign_server(error) or code.name)
    if response != _SERVING:
        return Finding(what, False, f"{service} is not serving", "The gateway is shutting down; retry in a minute.")
    return Finding(what, True, "running and serving")


def _not_a_gateway(client: Client, reason: str) -> Finding:
    advice = "Check the port: 8001 is Triton's, 50051 the gateway's. A proxy in between must pass HTTP/2 without TLS."
    if _expects_tls(client.target):
        reason = "it expects TLS, which the commands do not use"
    variables = [name for name in _PROXY_VARIABLES if os.environ.get(name)]
    if variables:
        advice += f" gRPC uses the proxy in {variables[0]}, unless no_proxy names the gateway."
    return Finding("gateway", False, f"a server listens there, but it is not a sixpoint gateway ({reason})", advice)


def _expects_tls(target: str) -> bool:
    try:
        address = parse_address(target)
    except InvalidArgument:
        # A target name of gRPC: only gRPC knows where it leads.
        return False
    # It matters that the server speaks TLS, not who it is.
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((address.host, address.port), timeout=_CONNECT_TIMEOUT_S) as connection,
            context.wrap_socket(connection, server_hostname=address.host),
        ):
            return True
    except ssl.SSLCertVerificationError:
        return True
    except (OSError, ValueError):
        return False


def _check_models(client: Client) -> Iterator[Finding]:
    try:
        models = client.models()
    except Unavailable as error:
        yield Finding(
            "Triton",
            False,
            error.message,
            "The gateway runs, but Triton does not answer it. Look at Triton's log, and check the gateway's "
            "SIXPOINT_TRITON_URL.",
        )
        return
    names = ", ".join(f"{model.name} {model.version}" for model in models)
    if not any("extreme_points" in model.prompts for model in models):
        yield Finding(
            "Triton",
            False,
            f"no model takes extreme points; models: {names or 'none'}",
            "Export one into the model repository: `exporter export CHECKPOINT`. The gateway ignores models without a "
            "ModelSpec; its log names them.",
        )
        return
    yield Finding("Triton", True, f"serves {names}")
    for service in _SERVICES:
        finding = _check_health(client, f"{_PACKAGE}.{service}", service)
        if not finding.well:
            yield finding


def _check_prompt(client: Client) -> Iterator[Finding]:
    phantom = make_phantom()
    image, truth = phantom.image, phantom.mask(_ORGAN)
    prompt = ExtremePoints.of_mask(truth)
    sent: list[int] = []
    model = next(model.name for model in client.models() if "extreme_points" in model.prompts)
    try:
        with warnings.catch_warnings():
            # The model may be made for another modality than the phantom's: what is checked is that it answers.
            warnings.simplefilter("ignore", ImplausibleImageWarning)
            open_seconds, session = _timed(
                lambda: client.open_session(image, model=model, progress=lambda done, _: sent.append(done))
            )
        with session:
            clock_difference = abs((datetime.now(UTC) - session.refresh().used).total_seconds())
            prompt_seconds, mask = _timed(lambda: session.annotate(prompt))
    except SixpointError as error:
        yield Finding("a prompt", False, error.message, "Look at the gateway's log.")
        return
    size = f"{image.array.nbytes / 2**20:.1f} MiB"
    upload = f"{size} sent" if sent else f"the gateway already has its {size}"
    yield Finding("an upload", True, f"{upload}, and a session opened in {open_seconds * 1000:.0f} ms")
    if not mask.array.any():
        yield Finding("a prompt", False, "the mask is empty", f"Check model {model}: `exporter validate`.")
        return
    triton = mask.timings.inference.total_seconds() * 1000
    yield Finding(
        "a prompt",
        True,
        f"model {model} outlined the phantom's {_ORGAN} in {prompt_seconds * 1000:.0f} ms ({triton:.0f} ms in Triton), "
        f"Dice {dice(mask.array, truth):.2f}",
    )
    if clock_difference > _MAX_CLOCK_DIFFERENCE_S:
        yield Finding(
            "clocks",
            False,
            f"this machine's clock and the gateway's differ by {clock_difference:.0f} s",
            "Synchronise both (NTP). Until then, times of last use and of closing are wrong.",
        )


def _timed(work: Callable[[], _Result]) -> tuple[float, _Result]:
    """Return the seconds that a function takes, and its result."""
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result
