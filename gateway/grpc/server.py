"""The gRPC server: its options, and the limits of connections."""

from __future__ import annotations

from dataclasses import dataclass

import grpc.aio

from gateway.core.runtime.process.open_files import allowed_connections
from gateway.grpc.interceptors import CallInterceptor
from gateway.grpc.observation import ObservationInterceptor
from gateway.grpc.reflection import ReflectionInterceptor

__all__ = ["ConnectionLimits", "create_server"]

# Volumes arrive in chunks of about 1 MiB, masks in one message.
_RECEIVE_BYTES = 8 * 2**20
# sixpoint's client pings every 30 s, others every 10 s, the least that gRPC's design allows (its A8) and at times a
# little early; gRPC disconnects clients that ping more often than this.
_PING_MS = 9_000
# A client with more calls at once sends them once earlier ones have ended.
_MAX_STREAMS = 256
# A connection that says nothing holds its place for no longer; by default two minutes.
_HANDSHAKE_MS = 20_000
# gRPC takes numbers of 32 bits.
_MAX_MS = 2**31 - 1
# What a stream may send before it is read; 70 MiB/s over 50 ms there and back. By default gRPC measures how much is on
# its way, and on a fast network lets it gather: 2 GiB of 40 streams that were read too slowly.
_AHEAD_BYTES = 4 * 2**20


@dataclass(frozen=True, kw_only=True)
class ConnectionLimits:
    """Limits of the connections to a server.

    Attributes:
        count: Limit for open connections; further ones are closed at once. They are fewer if this process may open few
            files.
        idle: Seconds after which a connection without a call is closed.
        age: Seconds, about, after which a connection takes no new calls: the client opens another one. 0 for never.
        grace: Seconds after that for which running calls may go on.
    """

    count: int
    idle: float
    age: float
    grace: float


def create_server(
    interceptor: CallInterceptor, limits: ConnectionLimits, *, observation: ObservationInterceptor | None = None
) -> grpc.aio.Server:
    """Create a server without services.

    Args:
        interceptor: Wraps the calls.
        limits: Limits of connections.
        observation: Observes the calls.
    """
    # gRPC varies the age by a tenth, so that clients do not all connect anew at once.
    aging = (
        ("grpc.max_connection_age_ms", round(limits.age * 1000)),
        ("grpc.max_connection_age_grace_ms", min(round(limits.grace * 1000), _MAX_MS)),
    )
    return grpc.aio.server(
        interceptors=[*([observation] if observation else []), interceptor, ReflectionInterceptor()],
        options=(
            ("grpc.max_receive_message_length", _RECEIVE_BYTES),
            # With port reuse, a second gateway would silently share the port.
            ("grpc.so_reuseport", 0),
            # The value of GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS has no "recv".
            ("grpc.http2.min_ping_interval_without_data_ms", _PING_MS),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.max_allowed_incoming_connections", allowed_connections(limits.count)),
            ("grpc.max_concurrent_streams", _MAX_STREAMS),
            ("grpc.http2.bdp_probe", 0),
            ("grpc.http2.lookahead_bytes", _AHEAD_BYTES),
            ("grpc.max_connection_idle_ms", round(limits.idle * 1000)),
            ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
            *(aging if limits.age else ()),
        ),
    )
