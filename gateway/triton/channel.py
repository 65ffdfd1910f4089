"""The gRPC channel to a Triton, with TLS or without."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import grpc
import grpc.aio
from tritonclient.grpc import service_pb2_grpc

from sixpoint.client import TlsFiles
from sixpoint.errors import InvalidArgument
from sixpoint.io.file_stamps import FileStamp, file_stamp
from sixpoint.protocol.triton_addresses import without_scheme

__all__ = ["TritonChannel"]

_log = logging.getLogger(__name__)

# Reconnect quickly once Triton is back; tensors exceed gRPC's default limit of 4 MiB.
_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.enable_http_proxy", 0),
)
# Seconds that calls on the connection with the earlier files may take to end.
_FAREWELL_S = 600.0

_Stamp = tuple[FileStamp | None, ...]


class TritonChannel:
    """A channel to one Triton. To be used from one event loop.

    gRPC reads a client's files for TLS once. Here they are read again when they change: :meth:`refresh` then opens
    another channel, and calls on the earlier one may end.

    Args:
        address: Its gRPC endpoint, host:port; ``https://`` before it means TLS.
        tls: Files for TLS.
        server_name: Name that its certificate is for; empty for that of the address.

    Raises:
        InvalidArgument: A file for TLS cannot be used.
    """

    def __init__(self, address: str, *, tls: TlsFiles, server_name: str = "") -> None:
        self._target, self._secure = without_scheme(address)
        self._tls = tls
        self._options = (*_OPTIONS, ("grpc.ssl_target_name_override", server_name)) if server_name else _OPTIONS
        self._stamp = self._refused = self._stat()
        self._open()
        self._farewells: set[asyncio.Task[None]] = set()

    def __getattr__(self, method: str) -> Any:
        """A method of Triton's service: this is used as the stub of whichever channel is open."""
        if method.startswith("_"):
            raise AttributeError(method)
        return getattr(self._stub, method)

    def refresh(self) -> None:
        """Use the files for TLS as they are now; files that cannot be used change nothing, and the log says so."""
        if not self._secure or (stamp := self._stat()) in (self._stamp, self._refused):
            return
        earlier = self._channel
        try:
            self._open()
        except InvalidArgument as error:
            self._refused = stamp
            _log.warning("the changed TLS files for triton are not used, the earlier ones stay: %s", error.message)
            return
        # A file that changed in between gives another stamp next time.
        self._stamp = self._refused = stamp
        _log.info("TLS files for triton read again")
        farewell = asyncio.create_task(earlier.close(_FAREWELL_S))
        self._farewells.add(farewell)
        farewell.add_done_callback(self._farewells.discard)

    async def close(self) -> None:
        """Close the connection."""
        for farewell in self._farewells:
            farewell.cancel()
        await self._channel.close()

    def _open(self) -> None:
        if self._secure:
            credentials = self._tls.credentials()
            channel = grpc.aio.secure_channel(self._target, credentials, options=self._options)
        else:
            channel = grpc.aio.insecure_channel(self._target, options=self._options)
        self._channel = channel
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)

    def _stat(self) -> _Stamp:
        files = (self._tls.ca_file, self._tls.cert_file, self._tls.key_file) if self._secure else ()
        stamps: list[FileStamp | None] = []
        for file in files:
            try:
                stamps.append(file_stamp(file) if file else None)
            except OSError:
                stamps.append(None)
        return tuple(stamps)
