"""Envoy's configuration as a load balancer of gateways."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["envoy_config"]

_MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = "envoy.extensions.filters.http.router.v3.Router"
_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def envoy_config(port: int, gateways: Sequence[int]) -> dict[str, Any]:
    """Return the configuration that shares calls among gateways on this machine.

    It asks each gateway for its health (grpc.health.v1) every second and sends each call to the one with the fewest
    unanswered ones. No call or stream has a time limit. It repeats only what did not reach a gateway: the SDK repeats
    the rest, with request ids.

    Args:
        port: Port to listen on.
        gateways: Ports of the gateways.
    """
    route = {
        "cluster": "gateways",
        "timeout": "0s",
        "max_stream_duration": {"grpc_timeout_header_max": "0s"},
        "retry_policy": {"retry_on": "connect-failure,refused-stream", "num_retries": 2},
    }
    manager = {
        "@type": f"type.googleapis.com/{_MANAGER}",
        "stat_prefix": "grpc",
        "codec_type": "HTTP2",
        "stream_idle_timeout": "0s",
        "route_config": {
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": route}]}]
        },
        "http_filters": [
            {"name": "envoy.filters.http.router", "typed_config": {"@type": f"type.googleapis.com/{_ROUTER}"}}
        ],
    }
    cluster = {
        "name": "gateways",
        "type": "STATIC",
        "lb_policy": "LEAST_REQUEST",
        # By default it compares two gateways drawn at random, which may be the same one twice.
        "least_request_lb_config": {"choice_count": 8},
        "connect_timeout": "1s",
        "health_checks": [
            {
                "timeout": "2s",
                "interval": "1s",
                "no_traffic_interval": "1s",
                "unhealthy_threshold": 1,
                "healthy_threshold": 1,
                "grpc_health_check": {},
            }
        ],
        "typed_extension_protocol_options": {
            _OPTIONS: {
                "@type": f"type.googleapis.com/{_OPTIONS}",
                "explicit_http_config": {
                    "http2_protocol_options": {"connection_keepalive": {"interval": "30s", "timeout": "10s"}}
                },
            }
        },
        "load_assignment": {
            "cluster_name": "gateways",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(gateway)}} for gateway in gateways]}],
        },
    }
    listener = {
        "name": "grpc",
        "address": _address(port),
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
