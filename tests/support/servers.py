"""The real Triton, and a gateway in a thread of this process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from benchmarks.servers.local_servers import started_tritons
from gateway.server import Gateway
from gateway.settings import Settings
from gateway.triton.local.server import LocalTriton, LocalTritonSettings
from tests.support.event_loop import StallWatch
from tests.support.paths import TRITON_ENVIRONMENT
from tests.support.ports import free_port

__all__ = ["running_gateway", "running_triton", "running_tritons", "signal_triton"]


@contextlib.contextmanager
def running_triton(repository: Path, *, port: int | None = None, traces_url: str = "") -> Iterator[LocalTriton]:
    """The real Triton on this repository."""
    triton = _local_triton(repository, port=port, traces_url=traces_url)
    with started_tritons([triton]):
        yield triton


@contextlib.contextmanager
def running_tritons(repository: Path, count: int) -> Iterator[list[LocalTriton]]:
    """So many real Tritons on one repository, started and stopped at once."""
    tritons = [_local_triton(repository) for _ in range(count)]
    with started_tritons(tritons):
        yield tritons


def signal_triton(triton: LocalTriton, number: signal.Signals) -> None:
    """Send a Triton a signal, past its guard."""
    assert triton._guard is not None
    guard = triton._guard.pid
    for pid in Path(f"/proc/{guard}/task/{guard}/children").read_text().split():
        os.kill(int(pid), number)


def _local_triton(repository: Path, *, port: int | None = None, traces_url: str = "") -> LocalTriton:
    return LocalTriton(
        LocalTritonSettings(
            model_repository=repository,
            environment=TRITON_ENVIRONMENT,
            grpc_port=port or free_port(),
            metrics_port=free_port(),
            log=repository.parent / f"{repository.name}-triton.log",
            traces_url=traces_url,
        )
    )


@contextlib.contextmanager
def running_gateway(*, ready: bool = True, watch: StallWatch | None = None, **settings: object) -> Iterator[Gateway]:
    """A gateway in a thread of this process, on a free port; ``ready``: wait until Triton serves a model.

    Args:
        ready: Whether to wait until Triton serves a model.
        watch: Watches the gateway's event loop.
        **settings: Settings of the gateway.
    """
    values: dict[str, object] = {
        "port": 0,
        "drain_notice_seconds": 0.0,
        "drain_seconds": 2.0,
        "triton_poll_seconds": 0.1,
    }
    state = tempfile.TemporaryDirectory(prefix="sixpoint-tests-")
    gateway = Gateway(Settings(**({"state_folder": state.name} | values | settings)))  # type: ignore[arg-type]
    started, failure = threading.Event(), []
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def main() -> None:
        async with gateway.running():
            if ready:
                await gateway.wait_until_ready(30)
            if watch:
                watch.attach(loop)
            started.set()
            await stop.wait()

    def run() -> None:
        try:
            loop.run_until_complete(main())
        except BaseException as error:
            failure.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    started.wait(60)
    if failure:
        raise failure[0]
    try:
        yield gateway
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
        loop.close()
        state.cleanup()
