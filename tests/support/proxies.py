"""Proxies that stand for a network that fails."""

from __future__ import annotations

import contextlib
import socket
import threading

__all__ = ["Cutter", "Proxy", "Silencer"]


class Proxy:
    """Passes on what both ends say.

    Args:
        target: host:port behind it.
    """

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self.passed: list[int] = []
        """Bytes from the client, by connection."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target)
                number = len(self.passed)
                self.passed.append(0)
                for way in ((near, far, number, True), (far, near, number, False)):
                    threading.Thread(target=self._pass, args=way, daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, number: int, sent: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(2**16):
                self._put(data, sink, number)
                if sent:
                    self.passed[number] += len(data)
                    self._saw(data)
                    if self._cuts(number):
                        break
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _put(self, data: bytes, sink: socket.socket, number: int) -> None:
        sink.sendall(data)

    def _saw(self, data: bytes) -> None:
        """Look at what the client sent."""

    def _cuts(self, number: int) -> bool:
        return False


class Cutter(Proxy):
    """Cuts its first connections after so many bytes from the client.

    Args:
        target: host:port behind it.
        cuts: After how many bytes; one number for each connection that is cut.
    """

    def __init__(self, target: str, *, cuts: list[int]) -> None:
        self._after = cuts
        super().__init__(target)

    def _cuts(self, number: int) -> bool:
        return number < len(self._after) and self.passed[number] >= self._after[number]


class Silencer(Proxy):
    """Its connections can fall silent: they stay open, and nothing passes any more. Counts the client's pings."""

    # The header of an HTTP/2 frame: 8 bytes, PING, which is no answer to another, on the connection itself.
    _PING = bytes([0, 0, 8, 6, 0, 0, 0, 0, 0])

    def __init__(self, target: str, *, pings: int = 0) -> None:
        self._silent = 0
        self._awaited = pings
        self.pinged = threading.Event()
        """Set once the client has sent so many pings."""
        super().__init__(target)

    def silence(self) -> None:
        """Whatever is open now."""
        self._silent = len(self.passed)

    def _put(self, data: bytes, sink: socket.socket, number: int) -> None:
        if number >= self._silent:
            super()._put(data, sink, number)

    def _saw(self, data: bytes) -> None:
        self._awaited -= data.count(self._PING)
        if self._awaited <= 0:
            self.pinged.set()
