"""Memory of the servers that are measured, found by the port that they listen on."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

import psutil

__all__ = ["MIB", "Peak", "port_of", "proportional", "resident", "servers"]

MIB = 2**20
_SAMPLE_SECONDS = 0.005


def port_of(address: str) -> int:
    """The port of ``host:port`` or of ``http://host:port/``."""
    return int(address.rstrip("/").rpartition(":")[2])


def servers(address: str, *, children: bool = True) -> list[psutil.Process]:
    """The processes on this machine that listen on the address's port, and those that they started.

    Args:
        address: host:port, or a URL that ends so.
        children: Whether to take those that they started, and these in turn.

    Returns:
        None of another machine's, or another user's.
    """
    port, found = port_of(address), {}
    for process in psutil.process_iter():
        try:
            if any(
                one.status == psutil.CONN_LISTEN and one.laddr.port == port
                for one in process.net_connections(kind="tcp")
            ):
                for one in [process, *(process.children(recursive=True) if children else ())]:
                    found[one.pid] = one
        except psutil.Error:
            continue
    return list(found.values())


def resident(processes: list[psutil.Process]) -> int:
    """Bytes of memory that the processes hold together (RSS; what they share counts once for each)."""
    total = 0
    for process in processes:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def proportional(processes: list[psutil.Process]) -> int:
    """Bytes of memory that the processes hold together, what they share divided among those that share it (PSS)."""
    total = 0
    for process in processes:
        try:
            total += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return total


class Peak:
    """The most memory that processes held within a block, sampled every 5 ms.

    Attributes:
        before: Bytes at the start.
        most: The most bytes seen.
    """

    def __init__(self, processes: list[psutil.Process]) -> None:
        self._processes = processes
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.before = self.most = 0

    def __enter__(self) -> Self:
        self.before = self.most = resident(self._processes)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._end.wait(_SAMPLE_SECONDS):
            self.most = max(self.most, resident(self._processes))
