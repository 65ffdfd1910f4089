"""Tune batch sizes and instances of a model: measure them on a running Triton, within a latency budget."""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from exporter.parity.inputs import parity_inputs
from exporter.publishing.recovery import sweep
from exporter.publishing.switch import switch
from exporter.publishing.triton import Triton
from exporter.repository.config import ExecutionConfig, ModelConfig
from exporter.repository.protocol import ModelRepository
from exporter.repository.view import require_config, serving_version
from sixpoint._typing import Array
from sixpoint.errors import FailedPrecondition

__all__ = ["Measurement", "best_batches", "best_instances", "tune"]

# A smaller gain is noise.
_MIN_GAIN = 1.1
_CLIENTS = 4
# Share of the remaining budget that a request may wait for others.
_DELAY_SHARE = 0.1


@dataclass(frozen=True)
class Measurement:
    """Measurement of one setting.

    Attributes:
        batch: Inputs per request.
        instances: Copies of the network.
        clients: Concurrent requests.
        seconds: Median duration of a request.
        throughput: Inputs per second.
    """

    batch: int
    instances: int
    clients: int
    seconds: float
    throughput: float


def tune(
    repository: ModelRepository,
    name: str,
    *,
    triton: Triton,
    latency: float,
    instances: tuple[int, ...] = (1, 2),
    requests: int = 12,
    wait: float = 300.0,
) -> tuple[ExecutionConfig, list[Measurement]]:
    """Measure settings, and serve the model with the best one. On any failure the old setting is restored.

    Args:
        repository: The repository.
        name: Name of the model.
        triton: The Triton that serves it; it reloads the model for every number of instances, without a gap.
        latency: Seconds that a request may take.
        instances: Numbers of copies to try.
        requests: Requests per measurement.
        wait: Seconds to wait for other writers.

    Returns:
        The setting that serves now, and all measurements.

    Raises:
        ModelNotFound: The repository has no such model.
        FailedPrecondition: A trial is under way, no version serves, or a single request exceeds the budget.
    """
    with repository.lock(wait=wait):
        sweep(repository, name)
        old = require_config(repository, name)
        version = serving_version(repository, old)
        if version is None or old.candidate is not None or old.spec is None:
            raise FailedPrecondition(f"{name} has a version on trial, or none that serves: end the trial first")
        pinned = replace(old, served=old.served or (version,))
        single = parity_inputs(old.spec).batch[:1]
        try:
            batches = _measure_batches(repository, pinned, version, single, triton=triton, requests=requests)
            _require_latency(batches[0], latency)
            preferred, delay = best_batches(batches, latency=latency)
            batched = replace(old.execution, preferred=preferred, delay_us=delay)
            copies = []
            for count in instances:
                config = replace(pinned, execution=replace(batched, instances=count))
                switch(repository, [config], check=version, triton=triton)
                copies.append(_measure(triton, config, version, single, clients=_CLIENTS, requests=2 * requests))
            chosen = replace(batched, instances=best_instances(copies, latency=latency))
            switch(repository, [replace(pinned, execution=chosen)], check=version, triton=triton)
        except BaseException:
            switch(repository, [old], check=version, triton=triton)
            raise
    return chosen, [*batches, *copies]


def best_batches(measured: list[Measurement], *, latency: float) -> tuple[tuple[int, ...], int]:
    """Choose the preferred batch sizes, and the microseconds to wait for them.

    Args:
        measured: Measurements of one request at a time, sorted by batch size.
        latency: Seconds that a request may take.

    Returns:
        The batch sizes within the budget whose throughput exceeds that of all smaller ones by more than noise. If no
        batch gains, 1 and no waiting: Triton then joins no requests, and gives each to any free instance.
    """
    preferred, top = [], measured[0].throughput
    longest = measured[0].seconds
    for measurement in measured[1:]:
        if measurement.seconds <= latency and measurement.throughput > _MIN_GAIN * top:
            preferred.append(measurement.batch)
            top, longest = measurement.throughput, measurement.seconds
    if not preferred:
        return (1,), 0
    return tuple(preferred), int((latency - longest) * _DELAY_SHARE * 1e6)


def best_instances(measured: list[Measurement], *, latency: float) -> int:
    """Choose the number of copies: the smallest that no other number within the budget beats by more than noise."""
    within = [measurement for measurement in measured if measurement.seconds <= latency] or measured
    top = max(measurement.throughput for measurement in within)
    return min(measurement.instances for measurement in within if measurement.throughput * _MIN_GAIN >= top)


def _measure_batches(
    repository: ModelRepository, config: ModelConfig, version: int, single: Array, *, triton: Triton, requests: int
) -> list[Measurement]:
    """Measure batch sizes 1, 2, 4, ... up to the model's largest, on one instance without dynamic batching."""
    plain = replace(config, execution=replace(config.execution, preferred=(), delay_us=0, instances=1))
    switch(repository, [plain], check=version, triton=triton)
    largest = config.max_batch_size
    sizes = [2**power for power in range(largest.bit_length()) if 2**power <= largest]
    return [
        _measure(triton, plain, version, np.repeat(single, size, axis=0), clients=1, requests=requests)
        for size in sizes
    ]


def _require_latency(single: Measurement, latency: float) -> None:
    if single.seconds > latency:
        raise FailedPrecondition(
            f"a single request takes {single.seconds * 1000:.0f} ms, and --latency-ms is {latency * 1000:.0f}: raise "
            "it, or use a smaller network"
        )


def _measure(
    triton: Triton, config: ModelConfig, version: int, batch: Array, *, clients: int, requests: int
) -> Measurement:
    def ask(_: int) -> float:
        start = time.perf_counter()
        triton.infer(config, version, batch)
        return time.perf_counter() - start

    ask(0)  # the first request of a shape is slower
    start = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        seconds = list(pool.map(ask, range(requests)))
    throughput = requests * len(batch) / (time.perf_counter() - start)
    return Measurement(len(batch), config.execution.instances, clients, statistics.median(seconds), throughput)
