"""One attack on a fresh gateway, and what was measured beside it."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.attacks.catalogue import Attack
from benchmarks.attacks.session_attacks import LARGE_SIZE
from benchmarks.attacks.witnesses import Witness, health_probe, prompter, uploader, writer
from benchmarks.figures import p95
from benchmarks.images.examples import Example
from benchmarks.servers.local_servers import Servers, free_ports, running
from benchmarks.servers.processes import MIB, PeakMemory, private, servers
from benchmarks.servers.watched_gateway import STALLS_VARIABLE, longest_stall
from sixpoint.client import Client
from sixpoint.geometry import Geometry
from sixpoint.volume import Volume

__all__ = ["REST_FACTOR", "Outcome", "measure"]

REST_FACTOR = 1.3
"""Factor to the memory before an attack that a gateway has to come back to."""
_ROOT = Path(__file__).parents[2]
_WARM_UP_S = 1.5
_REST_S = 60.0
_END_S = 15.0
_FEW_BYTES = 2_000


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What was measured beside one attack. The field names are keys of the JSON output.

    Attributes:
        attack: Name of the attack.
        callers: Number of hostile callers.
        silence_ms: Longest time without an answer of health, ms; a refusal is none.
        stall_ms: Longest stall of the gateway's event loop, ms.
        stall_cpu_ms: Longest CPU time of its thread within a stall, ms: what the loop itself did, on a busy machine.
        idle_mib: Memory of the gateway before the attack, without mapped files, MiB.
        peak_mib: Highest memory during the attack, MiB.
        rest_mib: Memory after the attack: the first that is at most 1.3 x idle, or that after a minute, MiB.
        rest_seconds: Seconds after the attack until then.
        solo_per_second: Prompts of the polite caller answered per second before the attack.
        polite_ratio: Its rate beside the attack over that before.
        solo_p95_ms: 95th percentile of its prompts before the attack, ms.
        polite_p95_ms: The same beside the attack, ms; None if none was answered.
        polite_refused: Number of its prompts that were refused.
        writer_ms: Longest time that a small write of another caller took, ms.
        upload_ms: Longest time that a small upload of another caller took, ms.
        uploads_refused: Number of these uploads that were refused.
        database_ratio: Bytes by which the database grew, per byte of the hostile callers' messages; None if they sent
            too few to tell the polite callers' share.
        codes: How the hostile callers' calls ended: number by name of the status code.
        alive: Whether the gateway still ran at the end.
    """

    attack: str
    callers: int
    silence_ms: float
    stall_ms: float
    stall_cpu_ms: float
    idle_mib: float
    peak_mib: float
    rest_mib: float
    rest_seconds: float
    solo_per_second: float
    polite_ratio: float
    solo_p95_ms: float
    polite_p95_ms: float | None
    polite_refused: int
    writer_ms: float
    upload_ms: float
    uploads_refused: int
    database_ratio: float | None
    codes: dict[str, int]
    alive: bool


@dataclass(frozen=True)
class _Witnesses:
    health: Witness
    prompter: Witness
    writer: Witness
    uploader: Witness

    def restart(self) -> None:
        for witness in (self.health, self.prompter, self.writer, self.uploader):
            witness.restart()


def measure(attack: Attack, *, callers: int, example: Example, triton: str, seconds: float) -> Outcome:
    """Start a gateway, attack it, and measure; see :class:`Outcome`.

    Args:
        attack: Kind of the attack.
        callers: Number of hostile callers.
        example: Image that the polite caller prompts on.
        triton: Address of the Triton to use, host:port.
        seconds: How long the attack lasts, and how long the polite caller is alone before.

    Raises:
        Unavailable: The gateway does not start.
    """
    (http_port,) = free_ports(1)
    with _watched(triton, http_port) as (gateway, stalls):
        (process,) = servers(gateway.gateway, children=False)
        with Client(gateway.gateway) as client:
            small = client.upload(example.volume)
            large = client.upload(_zeros()) if attack.large else ""
        with _witnesses(gateway.gateway, small, example) as witnesses:
            time.sleep(_WARM_UP_S)
            witnesses.restart()
            solo = _rate(witnesses.prompter, seconds)
            solo_ms = [1000 * value for value in witnesses.prompter.seconds]
            idle, database = private([process]), _database_bytes(gateway.folder)
            with (
                PeakMemory([process], measure=private) as peak,
                _hostile(
                    attack,
                    server=gateway.gateway,
                    http=f"127.0.0.1:{http_port}",
                    callers=callers,
                    digests=(small, large),
                    seconds=seconds,
                ) as hostile,
            ):
                started = time.time()
                witnesses.restart()
                rate = _rate(witnesses.prompter, seconds)
                noted = _noted(witnesses)
                account = hostile()
        ended = time.perf_counter()
        rest = _rest(process, limit=REST_FACTOR * idle)
        answered, growth = noted.pop("prompts"), _database_bytes(gateway.folder) - database
        return Outcome(
            attack=attack.name,
            callers=callers,
            stall_ms=1000 * longest_stall(stalls, since=started),
            stall_cpu_ms=1000 * longest_stall(stalls, since=started, measure="worked"),
            idle_mib=idle / MIB,
            peak_mib=peak.highest / MIB,
            rest_mib=rest / MIB,
            rest_seconds=time.perf_counter() - ended,
            solo_per_second=solo,
            polite_ratio=rate / solo if solo else 0.0,
            solo_p95_ms=p95(solo_ms) if solo_ms else 0.0,
            polite_p95_ms=1000 * p95(answered) if answered else None,
            database_ratio=growth / account["request_bytes"] if account["request_bytes"] > _FEW_BYTES else None,
            codes=account["codes"],
            alive=process.is_running(),
            **noted,
        )


def _noted(witnesses: _Witnesses) -> dict[str, Any]:
    return {
        "silence_ms": 1000 * witnesses.health.silence(),
        "writer_ms": 1000 * witnesses.writer.longest(),
        "upload_ms": 1000 * witnesses.uploader.longest(),
        "uploads_refused": sum(witnesses.uploader.codes.values()),
        "polite_refused": sum(witnesses.prompter.codes.values()),
        "prompts": list(witnesses.prompter.seconds),
    }


@contextlib.contextmanager
def _watched(triton: str, http_port: int) -> Iterator[tuple[Servers, Path]]:
    """Run a gateway whose stalls are written to a file."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="sixpoint-attacks-"))
        stalls = Path(folder) / "stalls"
        stalls.touch()
        os.environ[STALLS_VARIABLE] = str(stalls)
        arguments = ("-m", "benchmarks.servers.watched_gateway")
        settings = {"SIXPOINT_HTTP_PORT": http_port}
        yield stack.enter_context(running(triton_url=triton, arguments=arguments, settings=settings)), stalls


@contextlib.contextmanager
def _witnesses(server: str, digest: str, example: Example) -> Iterator[_Witnesses]:
    with ExitStack() as stack:
        yield _Witnesses(
            stack.enter_context(health_probe(server)),
            stack.enter_context(prompter(server, digest, [example.prompt(number) for number in example.numbers])),
            stack.enter_context(writer(server, digest)),
            stack.enter_context(uploader(server)),
        )


@contextlib.contextmanager
def _hostile(
    attack: Attack, *, server: str, http: str, callers: int, digests: tuple[str, str], seconds: float
) -> Iterator[Any]:
    """Start the hostile callers; yield, once they attack, a function that waits for their account."""
    command = [sys.executable, "-m", "benchmarks.attacks.hostile", attack.name, "--server", server, "--http", http]
    command += ["--callers", str(callers), "--seconds", str(seconds), "--small", digests[0], "--large", digests[1]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=_ROOT, text=True) as process:

        def account() -> Any:
            try:
                return json.loads(process.communicate(timeout=_END_S)[0])
            except (subprocess.TimeoutExpired, json.JSONDecodeError):
                # Its own machine was too busy to count.
                return {"codes": {"not counted": 1}, "request_bytes": 0}

        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield account
        finally:
            process.kill()


def _rate(witness: Witness, seconds: float) -> float:
    """Return the calls answered per second in the next seconds."""
    before, started = len(witness.seconds), time.perf_counter()
    time.sleep(seconds)
    return (len(witness.seconds) - before) / (time.perf_counter() - started)


def _rest(process: psutil.Process, *, limit: float) -> int:
    """Wait until the memory is at most ``limit`` bytes, for a minute at most; return it."""
    end = time.perf_counter() + _REST_S
    while (now := private([process])) > limit and time.perf_counter() < end:
        time.sleep(0.1)
    return now


def _database_bytes(folder: Path) -> int:
    """Return the bytes in use in the gateway's database, its write-ahead log included."""
    url = f"file:{folder / 'state' / 'sixpoint.db'}?mode=ro"
    with closing(sqlite3.connect(url, uri=True, timeout=30.0)) as database:
        pages, free, size = (
            database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
    return int((pages - free) * size)


def _zeros() -> Volume:
    return Volume(np.zeros(LARGE_SIZE[::-1], np.int8), Geometry(LARGE_SIZE))
