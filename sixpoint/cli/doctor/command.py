"""``sixpoint doctor``: check client, gateway and Triton in turn, and say what to do about the first problem."""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Annotated, TypeVar

import grpc
import typer
from rich.console import Console
from rich.markup import escape

from sixpoint.cli.common import JsonOption, ServerOption, app, print_json
from sixpoint.cli.doctor.connection import Finding, check_connection, expects_tls
from sixpoint.cli.doctor.http_checks import examine_http
from sixpoint.cli.doctor.tokens import check_token, explain_refusal
from sixpoint.client import Client, Retry, Timeout
from sixpoint.errors import InvalidArgument, PermissionDenied, SixpointError, Unauthenticated, Unavailable
from sixpoint.metrics import dice
from sixpoint.model_spec import ImplausibleImageWarning
from sixpoint.phantom import make_phantom
from sixpoint.prompts import ExtremePoints
from sixpoint.protocol import DEFAULT_SERVER, closed_at_once, describe_foreign_server

__all__ = ["Finding", "doctor", "examine"]

_Result = TypeVar("_Result")

AddressArgument = Annotated[
    str | None,
    typer.Argument(help="Address of the gateway. It counts more than --server.", metavar="HOST[:PORT]"),
]

HttpOption = Annotated[
    str | None,
    typer.Option(
        "--http",
        help="Check the doors for viewers instead: address of a port of theirs, or of one door, as it is typed into a "
        "viewer.",
        metavar="URL",
        show_default=False,
    ),
]

_ORGAN = "liver"
_TIMEOUT_S = 20.0
# A smaller difference is not noticed; a larger one makes sessions appear to have expired.
_MAX_CLOCK_DIFFERENCE_S = 60.0
_PACKAGE = "sixpoint.v1"
# gRPC reads these, in this order.
_PROXY_VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy")
_SERVICES = ("ImageService", "ModelService", "SessionService", "AnnotationService")
_NOT_SERVING = "The gateway is shutting down, or does not reach its database or blob store: look at its log."
_SERVING = b"\x08\x01"
"""A serialized ``grpc.health.v1.HealthCheckResponse`` with the status SERVING: field 1, value 1."""


@app.command(
    epilog="Example: sixpoint doctor gateway.hospital.example:50051\n\n"
    "Example: sixpoint doctor --http http://127.0.0.1:8000"
)
def doctor(
    address: AddressArgument = None,
    server: ServerOption = DEFAULT_SERVER,
    http: HttpOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check everything from this client to the model, and say what is wrong and what to do about it."""
    if http is not None and address is not None:
        raise InvalidArgument("--http and an address were given; check one after the other")
    console = Console()
    findings = []
    for finding in examine(server if address is None else address) if http is None else examine_http(http):
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
    for check_environment in (check_connection, check_token):
        for finding in check_environment(server):
            yield finding
            if not finding.well:
                return
    with Client(server, timeout=Timeout(_TIMEOUT_S, _TIMEOUT_S), retry=Retry.none()) as client:
        for check in (_check_gateway, _check_models, _check_prompt):
            try:
                for finding in check(client):
                    yield finding
                    if not finding.well:
                        return
            except SixpointError as error:
                refusal = explain_refusal(error, client.target)
                yield refusal or Finding("gateway", False, error.message, "Look at the gateway's log.")
                return


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
        except (Unauthenticated, PermissionDenied):
            yield finding
            raise
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
        if client.target.startswith("https://") and closed_at_once(error):
            return Finding(
                what,
                False,
                "it closes the connection after the TLS handshake",
                "It may ask for a certificate: name yours with SIXPOINT_CLIENT_CERT_FILE and SIXPOINT_CLIENT_KEY_FILE.",
            )
        code: grpc.StatusCode = error.code()
        return _not_a_gateway(client, describe_foreign_server(error) or code.name)
    if response != _SERVING:
        return Finding(what, False, f"{service} is not serving", _NOT_SERVING)
    return Finding(what, True, "running and serving")


def _not_a_gateway(client: Client, reason: str) -> Finding:
    advice = "Check the port: 8001 is Triton's, 50051 the gateway's. A proxy in between must pass HTTP/2."
    if not client.target.startswith("https://") and expects_tls(client.target):
        reason, advice = "it expects TLS", f"Write https://{client.target}."
    variables = [name for name in _PROXY_VARIABLES if os.environ.get(name)]
    if variables:
        advice += f" gRPC uses the proxy in {variables[0]}, unless no_proxy names the gateway."
    return Finding("gateway", False, f"a server listens there, but it is not a sixpoint gateway ({reason})", advice)


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
    except (Unauthenticated, PermissionDenied):
        raise
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
