"""The command ``gateway worker``."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Annotated

import typer

from gateway.core.runtime.ids import new_id
from gateway.core.runtime.process.malloc import keep_freed_memory
from gateway.core.runtime.process.open_files import raise_open_files
from gateway.observability.logs import configure, log_uncaught_in_loop
from gateway.read_settings import read_settings
from gateway.settings import Settings
from gateway.worker import Worker

__all__ = ["add_worker"]

# Work that nobody waits for gives way to whatever else runs on the machine.
_NICE = 10


def add_worker(app: typer.Typer) -> None:
    """Add the command to a command line."""

    @app.command(epilog="Example: SIXPOINT_DATABASE_URL=postgresql+psycopg://... gateway worker")
    def worker(
        idle: Annotated[
            float, typer.Option(help="Seconds without a job after which it ends; 0 for never.", min=0)
        ] = 0.0,
        worker_id: Annotated[str, typer.Option("--id", hidden=True)] = "",
        beside_gateway: Annotated[bool, typer.Option("--beside-gateway", hidden=True)] = False,
    ) -> None:
        """Run jobs, such as the segmentation of datasets, until Ctrl-C or SIGTERM; those that run then go on in another
        worker. It takes the settings of the gateway: its database, images and Triton are the gateway's.
        """
        settings = read_settings()
        configure(settings.log_level, settings.log_format)
        keep_freed_memory()
        raise_open_files()
        os.nice(_NICE)
        asyncio.run(_run(settings, worker_id or new_id(), idle=idle or None, beside_gateway=beside_gateway))


async def _run(settings: Settings, worker_id: str, *, idle: float | None, beside_gateway: bool) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.set_exception_handler(log_uncaught_in_loop)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    worker = Worker(settings, worker_id)

    def read_gateway() -> None:
        # The gateway writes when somebody clicks. It is at its end when the gateway is, however that was.
        if os.read(sys.stdin.fileno(), 4096):
            worker.note_prompt()
        else:
            stop.set()
            loop.remove_reader(sys.stdin.fileno())

    if beside_gateway:
        loop.add_reader(sys.stdin.fileno(), read_gateway)
    await worker.run(stop, idle=idle)
