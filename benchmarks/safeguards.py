"""The price of safeguards: a prompt with TLS, a token, the audit log, metrics and traces on, against all of them off.

Gateways with and without them share one Triton, and answer the same prompts in turns. The model waits in place of
computing, so that its own variation does not hide the difference; with ``--compute`` it is the shipped one::

    python -m benchmarks.safeguards
    python -m benchmarks.safeguards --each                     # and each of them alone
"""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import psutil
import trustme
import typer

from benchmarks.figures import Figure, as_markdown, p50
from benchmarks.images.examples import Example, read_example
from benchmarks.servers.local_servers import TRITON_ENVIRONMENT, free_ports, running, started_tritons
from benchmarks.servers.processes import servers as gateway_processes
from benchmarks.servers.trace_sink import trace_sink
from benchmarks.servers.waiting_triton import WaitingTriton
from gateway.authentication.token_editing import NewEntry, add_entry, new_token, token_digest
from gateway.authentication.token_file import EntryKind
from gateway.core.access import DEFAULT_TENANT, Role
from gateway.triton.local.server import LocalTriton, LocalTritonSettings
from sixpoint.client import Client, Session, TlsFiles

__all__ = ["SWITCHES", "Surroundings", "measure", "surroundings"]

_MODELS = Path(__file__).parents[1] / "model_repository"
_WARM_UP = 5
_SCRAPE_SECONDS = 15.0


@dataclass(frozen=True)
class Surroundings:
    """What the safeguards need.

    Attributes:
        folder: Folder with certificates and the file of tokens.
        token: Token that the file admits.
        collector: URL of the collector for traces.
        status_port: Port for metrics, of one gateway.
    """

    folder: Path
    token: str
    collector: str
    status_port: int = 0


@dataclass(frozen=True)
class _Measured:
    session: Session
    gateway: psutil.Process


SWITCHES: Mapping[str, Callable[[Surroundings], dict[str, object]]] = {
    "TLS": lambda around: {
        "SIXPOINT_TLS_CERT_FILE": around.folder / "server.pem",
        "SIXPOINT_TLS_KEY_FILE": around.folder / "server.key",
    },
    "token": lambda around: {"SIXPOINT_AUTH": "tokens", "SIXPOINT_TOKENS_FILE": around.folder / "tokens.toml"},
    "audit": lambda _: {"SIXPOINT_AUDIT": 1},
    "metrics": lambda around: {"SIXPOINT_STATUS_PORT": around.status_port},
    "traces": lambda around: {"SIXPOINT_TRACES_URL": around.collector},
}
"""The safeguards, each with the settings that turn it on."""

_OFF = {"SIXPOINT_AUTH": "none", "SIXPOINT_AUDIT": 0}


@contextlib.contextmanager
def surroundings() -> Iterator[Surroundings]:
    """What the safeguards need, within the context: files in a temporary folder, and a collector."""
    with tempfile.TemporaryDirectory(prefix="sixpoint-") as name, trace_sink() as collector:
        folder, token, authority = Path(name), new_token(), trustme.CA()
        authority.cert_pem.write_to_path(folder / "ca.pem")
        issued = authority.issue_cert("127.0.0.1")
        (folder / "server.pem").write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(folder / "server.key")
        entry = NewEntry("benchmark", EntryKind.HEADER, "benchmark", DEFAULT_TENANT, Role.ANNOTATOR, None)
        add_entry(folder / "tokens.toml", entry, key=token_digest(token))
        yield Surroundings(folder, token, collector)


def measure(
    example: Example, around: Surroundings, *, triton: str, rounds: int, combinations: Sequence[Sequence[str]]
) -> list[Figure]:
    """Measure what safeguards add to a prompt: six points, then a click, in each of the rounds.

    Args:
        example: Image to prompt on.
        around: What the safeguards need.
        triton: Address of Triton.
        rounds: Number of rounds, in each of which all gateways answer the same prompts.
        combinations: Names of the safeguards that a gateway has, for each gateway beside that without any.
    """
    with contextlib.ExitStack() as stack:
        measured = [
            stack.enter_context(_measured(example, names, around, triton=triton)) for names in ((), *combinations)
        ]
        _prompt_in_turns(measured, example, rounds=_WARM_UP)
        durations, cpu = _prompt_in_turns(measured, example, rounds=rounds)
    plain = durations[0]
    result = [
        Figure(name="a prompt without safeguards, p50", value=p50(plain) * 1000, unit="ms"),
        Figure(name="a prompt without safeguards, CPU of the gateway", value=cpu[0] * 1000, unit="ms"),
    ]
    for names, own, seconds in zip(combinations, durations[1:], cpu[1:], strict=True):
        whole = len(names) == len(SWITCHES)
        differences = [after - before for before, after in zip(plain, own, strict=True)]
        name = ", ".join(names)
        result += [
            Figure(
                name=f"{name}: added to p50",
                value=(p50(own) - p50(plain)) * 1000,
                unit="ms",
                maximum=1.5 if whole else None,
            ),
            Figure(name=f"{name}: p50 of the differences", value=p50(differences) * 1000, unit="ms"),
            # On a busy machine, each millisecond of it takes several.
            Figure(name=f"{name}: CPU of the gateway, added to a prompt", value=(seconds - cpu[0]) * 1000, unit="ms"),
        ]
    return result


def _prompt_in_turns(
    measured: Sequence[_Measured], example: Example, *, rounds: int
) -> tuple[list[list[float]], list[float]]:
    """Give all sessions the same prompts; return the seconds that each took, and the mean CPU seconds, by session."""
    durations: list[list[float]] = [[] for _ in measured]
    number = example.numbers[0]
    points, clicks = example.prompt(number), example.clicks(number)
    before = [_cpu_seconds(one.gateway) for one in measured]
    for turn in range(rounds):
        for prompt in (points, next(clicks)):
            # Whoever comes first finds the caches of the machine as the last round left them.
            for offset in range(len(measured)):
                place = (turn + offset) % len(measured)
                started = time.perf_counter()
                measured[place].session.annotate(prompt)
                durations[place].append(time.perf_counter() - started)
    spent = [_cpu_seconds(one.gateway) - earlier for one, earlier in zip(measured, before, strict=True)]
    return durations, [seconds / (2 * rounds) for seconds in spent]


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@contextlib.contextmanager
def _measured(example: Example, names: Sequence[str], around: Surroundings, *, triton: str) -> Iterator[_Measured]:
    """A session on a gateway of its own that has these safeguards."""
    settings, around = dict(_OFF), replace(around, status_port=free_ports(1)[0])
    for name in names:
        settings |= SWITCHES[name](around)
    tls = TlsFiles(ca_file=around.folder / "ca.pem") if "TLS" in names else None
    scheme = "https://" if tls else ""

    def connect(address: str) -> Client:
        return Client(f"{scheme}{address}", tls=tls, token=around.token if "token" in names else "")

    with contextlib.ExitStack() as stack:
        servers = stack.enter_context(running(triton_url=triton, settings=settings, connect=connect))
        if "metrics" in names:
            stack.enter_context(_scraped(around.status_port))
        client = stack.enter_context(connect(servers.gateway))
        session = stack.enter_context(client.open_session(example.volume, model="annotation"))
        (gateway,) = gateway_processes(servers.gateway, children=False)
        yield _Measured(session, gateway)


@contextlib.contextmanager
def _scraped(port: int) -> Iterator[None]:
    """Ask for metrics again and again, as Prometheus does."""
    stop = threading.Event()

    def scrape() -> None:
        while not stop.wait(_SCRAPE_SECONDS):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).close()

    thread = threading.Thread(target=scrape, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _triton(folder: Path, *, compute: bool, wait: float, environment: Path) -> LocalTriton:
    if not compute:
        waiting = WaitingTriton(folder, environment=environment)
        waiting.wait(wait)
        return waiting
    grpc_port, metrics_port = free_ports(2)
    settings = LocalTritonSettings(
        model_repository=_MODELS, environment=environment, grpc_port=grpc_port, metrics_port=metrics_port
    )
    return LocalTriton(settings)


def main(
    image: Annotated[Path | None, typer.Argument(help="Image; without it, the phantom CT.")] = None,
    labels: Annotated[Path | None, typer.Argument(help="Its label image.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of two prompts.")] = 60,
    each: Annotated[bool, typer.Option("--each", help="Also measure each safeguard alone.")] = False,
    compute: Annotated[bool, typer.Option("--compute", help="Let the shipped model compute.")] = False,
    wait: Annotated[float, typer.Option(min=0, help="Seconds that a prompt takes in Triton.")] = 0.05,
    environment: Annotated[Path, typer.Option(help="Triton's environment.")] = TRITON_ENVIRONMENT,
) -> None:
    """Measure what TLS, a token, the audit log, metrics and traces add to a prompt."""
    combinations = [tuple(SWITCHES), *([(name,) for name in SWITCHES] if each else [])]
    example = read_example(image, labels)
    with tempfile.TemporaryDirectory(prefix="sixpoint-") as folder, surroundings() as around:
        triton = _triton(Path(folder) / "triton", compute=compute, wait=wait, environment=environment)
        # It sends spans of the calls that are traced, and of no others.
        triton.settings = replace(triton.settings, traces_url=f"{around.collector}/v1/traces")
        with started_tritons([triton]):
            figures = measure(example, around, triton=triton.address, rounds=rounds, combinations=combinations)
    typer.echo(as_markdown(figures))


if __name__ == "__main__":
    typer.run(main)
