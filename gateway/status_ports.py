"""The gateway's ports for operators: health over gRPC without TLS, and HTTP with liveness, readiness and metrics."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from operator import attrgetter

import grpc.aio
from grpc_health.v1 import health_pb2_grpc

from gateway.core.runtime import Admission, Catalog, FairInference
from gateway.core.runtime.fairness import Places
from gateway.grpc.certificate import ServerCertificate
from gateway.grpc.port import listen
from gateway.grpc.servicers.health import HealthServicer
from gateway.http.listener import listening
from gateway.http.status import status_app
from gateway.observability.metrics import LiveGauge, Metrics
from gateway.settings import Settings
from gateway.triton.pool import TritonPool
from gateway.triton.pool_endpoint import Endpoint

__all__ = ["live_gauges", "status_ports"]


@contextlib.asynccontextmanager
async def status_ports(
    settings: Settings, *, health: HealthServicer, metrics: Metrics, parts: Callable[[], Mapping[str, bool]]
) -> AsyncIterator[dict[str, int]]:
    """Listen on the ports that the settings name, within the context; yields their numbers by name.

    Args:
        settings: Settings of the gateway.
        health: Health of the gateway and its services.
        metrics: Metrics of the gateway.
        parts: Function that returns, for each part that prompts need, whether it can be used now.

    Raises:
        Unavailable: A port is taken.
    """
    ports = {}
    async with contextlib.AsyncExitStack() as stack:
        if settings.health_port is not None:
            server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
            health_pb2_grpc.add_HealthServicer_to_server(health, server)
            ports["health"] = listen(
                server,
                host=settings.host,
                port=settings.health_port,
                certificate=None,
                setting="SIXPOINT_HEALTH_PORT",
            )
            await server.start()
            stack.push_async_callback(server.stop, None)
        if settings.status_port is not None:
            app = status_app(metrics=metrics.render, parts=parts)
            ports["status"] = await stack.enter_async_context(
                listening(app, host=settings.host, port=settings.status_port, setting="SIXPOINT_STATUS_PORT")
            )
        yield ports


def live_gauges(
    *,
    catalog: Catalog,
    admissions: Mapping[str, Admission],
    places: Mapping[str, Places],
    inference: FairInference,
    triton: TritonPool,
    stores: Callable[[], Mapping[str, bool]],
    stored: Callable[[], Mapping[str, float]],
    limits: Mapping[str, float],
    certificate: ServerCertificate | None,
) -> tuple[LiveGauge, ...]:
    """Return the gauges of what a gateway holds at the moment.

    Args:
        catalog: Models that can be used now.
        admissions: Limits of running work, by its kind.
        places: Places of work that no admission limits, by its kind.
        inference: The calls of Triton.
        triton: The Tritons.
        stores: Function that returns, for each store, whether it could be reached.
        stored: Function that returns what is stored, by its name.
        limits: Limits of what is stored, by its name.
        certificate: Certificate of the gateway's port; None without TLS.
    """

    def by_kind(read: Callable[[Admission], float]) -> Callable[[], dict[tuple[str, ...], float]]:
        return lambda: {(kind,): read(admission) for kind, admission in admissions.items()}

    def active() -> dict[tuple[str, ...], float]:
        taken: dict[tuple[str, ...], float] = {(kind,): place.taken for kind, place in places.items()}
        return by_kind(attrgetter("active"))() | taken

    def waiting() -> dict[tuple[str, ...], float]:
        return by_kind(attrgetter("waiting"))() | {("inference",): float(inference.waiting)}

    def by_triton(read: Callable[[Endpoint], float]) -> Callable[[], dict[tuple[str, ...], float]]:
        return lambda: {(endpoint.address,): read(endpoint) for endpoint in triton.endpoints}

    def by_name(read: Callable[[], Mapping[str, float]]) -> Callable[[], dict[tuple[str, ...], float]]:
        return lambda: {(name,): float(number) for name, number in read().items()}

    def certificate_seconds() -> dict[tuple[str, ...], float]:
        return {(): certificate.validity.seconds_left} if certificate and certificate.validity else {}

    def models() -> dict[tuple[str, ...], float]:
        served = [(model.name, model.version) for model in catalog.models.values()]
        on_trial = [(model.name, model.candidate.version) for model in catalog.models.values() if model.candidate]
        return dict.fromkeys([*served, *on_trial], 1.0)

    return (
        LiveGauge("sixpoint_active_calls", "Calls that run or wait.", ("kind",), active),
        LiveGauge("sixpoint_waiting_calls", "Calls that wait for memory, or for their turn.", ("kind",), waiting),
        LiveGauge("sixpoint_reserved_bytes", "Memory of running calls.", ("kind",), by_kind(attrgetter("used"))),
        LiveGauge("sixpoint_model_served", "Versions that can be used: 1.", ("model", "version"), models),
        LiveGauge(
            "sixpoint_triton_outstanding_calls",
            "Calls that a Triton has not answered.",
            ("triton",),
            by_triton(lambda endpoint: endpoint.outstanding),
        ),
        LiveGauge(
            "sixpoint_triton_up",
            "Whether a Triton could be reached at the last check.",
            ("triton",),
            by_triton(lambda endpoint: endpoint.catalog.reachable),
        ),
        LiveGauge(
            "sixpoint_store_up", "Whether a store could be reached at the last check.", ("store",), by_name(stores)
        ),
        LiveGauge("sixpoint_stored", "What is stored, as of the last sweep.", ("what",), by_name(stored)),
        LiveGauge("sixpoint_stored_limit", "Limits of what is stored.", ("what",), by_name(lambda: limits)),
        LiveGauge(
            "sixpoint_certificate_expiry_seconds",
            "Seconds until the certificate of the port, or one of its chain, expires.",
            (),
            certificate_seconds,
        ),
    )
