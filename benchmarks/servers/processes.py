"""Memory of the measured servers. Processes are identified by the port that they listen on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Generic, Self, TypeVar

import psutil

__all__ = ["MIB", "PeakMemory", "Sampling", "port_of", "private", "proportional", "resident", "servers"]

MIB = 2**20
_SAMPLE_SECONDS = 0.004

Sample = TypeVar("Sample")


def port_of(address: str) -> int:
    """Return the port of ``host:port`` or of ``http://host:port/``."""
    return int(address.rstrip("/").rpartition(":")[2])


def servers(address: str, *, children: bool = True) -> list[psutil.Process]:
    """List the processes on this machine that listen on the port of an address, with their child processes.

    Args:
        address: host:port, or a URL that ends so.
        children: Whether to include child processes, recursively.

    Returns:
        Processes; those of other machines and other users are not found.
    """
    port, processes = port_of(address), {}
    for process in psutil.process_iter():
        try:
            if any(
                connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
                for connection in process.net_connections(kind="tcp")
            ):
                for server in [process, *(process.children(recursive=True) if children else ())]:
                    processes[server.pid] = server
        except psutil.Error:
            continue
    return list(processes.values())


def resident(processes: list[psutil.Process]) -> int:
    """Sum the resident memory (RSS) of processes, in bytes. Shared memory counts once per process."""
    total = 0
    for process in processes:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def proportional(processes: list[psutil.Process]) -> int:
    """Sum the proportional memory (PSS) of processes, in bytes. Shared memory is divided among its sharers."""
    total = 0
    for process in processes:
        try:
            total += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return total


def private(processes: list[psutil.Process]) -> int:
    """Sum the resident memory of processes that no file backs and no other process shares, in bytes."""
    total = 0
    for process in processes:
        try:
            memory = process.memory_info()
        except psutil.NoSuchProcess:
            continue
        total += memory.rss - memory.shared
    return total


class Sampling(Generic[Sample]):
    """Samples of something, taken every 4 ms within a ``with`` block.

    Args:
        take: Function that takes one, on a thread of its own.

    Attributes:
        samples: What it returned.
    """

    def __init__(self, take: Callable[[], Sample]) -> None:
        self._take = take
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.samples: list[Sample] = []

    def __enter__(self) -> Self:
        self.samples.append(self._take())
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._end.wait(_SAMPLE_SECONDS):
            self.samples.append(self._take())


class PeakMemory(Sampling[int]):
    """Highest memory of processes within a ``with`` block.

    Args:
        processes: Processes to watch.
        measure: Function that returns their memory, in bytes.
    """

    def __init__(
        self, processes: list[psutil.Process], *, measure: Callable[[list[psutil.Process]], int] = resident
    ) -> None:
        super().__init__(lambda: measure(processes))

    @property
    def before(self) -> int:
        """Bytes at the start."""
        return self.samples[0]

    @property
    def highest(self) -> int:
        """Highest number of bytes."""
        return max(self.samples)
