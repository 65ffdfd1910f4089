"""The gauges of what a gateway holds at the moment, which are read when Prometheus asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter

from gateway.core.jobs import JobCounts
from gateway.core.runtime import Admission, Catalog, FairInference
from gateway.core.runtime.fairness import Places
from gateway.grpc.tls.certificate import ServerCertificate
from gateway.observability.metrics import LiveGauge
from gateway.triton.pool import TritonPool
from gateway.triton.pool_endpoint import Endpoint

__all__ = ["live_gauges"]

_Values = dict[tuple[str, ...], float]


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
    jobs: Callable[[], JobCounts],
    certificate: ServerCertificate | None,
) -> tuple[LiveGauge, ...]:
    """Return all gauges.

    Args:
        catalog: Models that can be used now.
        admissions: Limits of running work, by its kind.
        places: Places of work that no admission limits, by its kind.
        inference: The calls of Triton.
        triton: The Tritons.
        stores: Function that returns, for each store, whether it could be reached.
        stored: Function that returns what is stored, by its name.
        limits: Limits of what is stored, by its name.
        jobs: Function that returns how many jobs wait and run, on all gateways together.
        certificate: Certificate of the gateway's port; None without TLS.
    """
    return (
        *_work(admissions, places, inference),
        *_inference(catalog, triton),
        *_storage(stores, stored, limits),
        LiveGauge(
            "sixpoint_jobs",
            "Jobs that wait for a worker, and that run, on all gateways of the database together.",
            ("state",),
            lambda: {("waiting",): jobs().waiting, ("running",): jobs().running},
        ),
        LiveGauge(
            "sixpoint_certificate_expiry_seconds",
            "Seconds until the certificate of the port, or one of its chain, expires.",
            (),
            lambda: {(): certificate.validity.seconds_left} if certificate and certificate.validity else {},
        ),
    )


def _work(
    admissions: Mapping[str, Admission], places: Mapping[str, Places], inference: FairInference
) -> Iterator[LiveGauge]:
    def by_kind(read: Callable[[Admission], float]) -> _Values:
        return {(kind,): read(admission) for kind, admission in admissions.items()}

    def active() -> _Values:
        return by_kind(attrgetter("active")) | {(kind,): place.taken for kind, place in places.items()}

    def waiting() -> _Values:
        return by_kind(attrgetter("waiting")) | {("inference",): inference.waiting}

    yield LiveGauge("sixpoint_active_calls", "Calls that run or wait.", ("kind",), active)
    yield LiveGauge("sixpoint_waiting_calls", "Calls that wait for memory, or for their turn.", ("kind",), waiting)
    yield LiveGauge(
        "sixpoint_reserved_bytes", "Memory of running calls.", ("kind",), lambda: by_kind(attrgetter("used"))
    )


def _inference(catalog: Catalog, triton: TritonPool) -> Iterator[LiveGauge]:
    def models() -> _Values:
        served = [(model.name, model.version) for model in catalog.models.values()]
        on_trial = [(model.name, model.candidate.version) for model in catalog.models.values() if model.candidate]
        return dict.fromkeys([*served, *on_trial], 1.0)

    def by_triton(read: Callable[[Endpoint], float]) -> Callable[[], _Values]:
        return lambda: {(endpoint.address,): read(endpoint) for endpoint in triton.endpoints}

    yield LiveGauge("sixpoint_model_served", "Versions that can be used: 1.", ("model", "version"), models)
    yield LiveGauge(
        "sixpoint_triton_outstanding_calls",
        "Calls that a Triton has not answered.",
        ("triton",),
        by_triton(lambda endpoint: endpoint.outstanding),
    )
    yield LiveGauge(
        "sixpoint_triton_up",
        "Whether a Triton could be reached at the last check.",
        ("triton",),
        by_triton(lambda endpoint: endpoint.catalog.reachable),
    )


def _storage(
    stores: Callable[[], Mapping[str, bool]], stored: Callable[[], Mapping[str, float]], limits: Mapping[str, float]
) -> Iterator[LiveGauge]:
    def by_name(read: Callable[[], Mapping[str, float]]) -> Callable[[], _Values]:
        return lambda: {(name,): float(number) for name, number in read().items()}

    yield LiveGauge(
        "sixpoint_store_up", "Whether a store could be reached at the last check.", ("store",), by_name(stores)
    )
    yield LiveGauge("sixpoint_stored", "What is stored, as of the last sweep.", ("what",), by_name(stored))
    yield LiveGauge("sixpoint_stored_limit", "Limits of what is stored.", ("what",), by_name(lambda: limits))
