"""Which batches, and how many copies of a network, serve best: measured on the Triton at hand, within a budget."""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from exporter.parity.inputs import parity_inputs
from exporter.publishing.publish import sweep, switch
from exporter.publishing.triton import Triton
from exporter.repository.config import ExecutionConfig, ModelConfig
from exporter.repository.protocol import ModelRepository
from exporter.repository.view import require_config, serving_version
from sixpoint._typing import Array
from sixpoint.errors import FailedPrecondition

__all__ = ["Measurement", "best_batches", "best_instances", "tune"]

# Less than this is noise.
_GAIN = 1.1
_CLIENTS = 4
# Waiting for others costs the first one: never more than this share of what is left of the budget.
_DELAY_SHARE = 0.1


@dataclass(frozen=True)
class Measurement:
    """One setting, measured.

    Attributes:
        batch: Inputs in one request.
        instances: Copies of the network.
        clients: Requests at once.
        seconds: Median of a request.
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
    """Measure, and let the best setting serve; on any failure the old one stays.

    Args:
        repository: The repository.
        name: Of the model.
        triton: Which serves it; reloads the model for every number of instances, without a gap.
        latency: Seconds that a request may take.
        instances: Numbers of copies to try.
        requests: For every measurement.
        wait: Seconds to wait for other writers.

    Returns:
        The setting that serves now, and everything measured.

    Raises:
        ModelNotFound: There is no such model.
        FailedPrecondition: A trial is under way; no version serves; a single request takes longer than the budget.
    """
    with repository.lock(wait=wait):
        sweep(repository, name)
        old = require_config(repository, name)
        version = serving_version(repository, old)
        if version is None or old.candidate is not None or old.spec is None:
            raise FailedPrecondition(f"{name} has a version on trial, or none that serves: end the trial first")
        config = replace(old, served=old.served or (version,))
        one = parity_inputs(old.spec).batch[:1]
        alone = replace(config, execution=replace(old.execution, preferred=(), delay_us=0, instances=1))
        try:
            switch(repository, [alone], check=version, triton=triton)
            batches = [
                _measure(triton, alone, version, np.repeat(one, size, axis=0), clients=1, requests=requests)
                for size in _sizes(config.max_batch_size)
            ]
            if batches[0].seconds > latency:
                raise FailedPrecondition(
                    f"a single request takes {batches[0].seconds * 1000:.0f} ms, and --latency-ms is "
                    f"{latency * 1000:.0f}: raise it, or use a smaller network"
                )
            preferred, delay = best_batches(batches, latency=latency)
            joined = replace(old.execution, preferred=preferred, delay_us=delay)
            copies = []
            for number in instances:
                changed = replace(config, execution=replace(joined, instances=number))
                switch(repository, [changed], check=version, triton=triton)
                copies.append(_measure(triton, changed, version, one, clients=_CLIENTS, requests=2 * requests))
            chosen = replace(joined, instances=best_instances(copies, latency=latency))
            switch(repository, [replace(config, execution=chosen)], check=version, triton=triton)
        except BaseException:
            switch(repository, [old], check=version, triton=triton)
            raise
    return chosen, [*batches, *copies]


def best_batches(measured: list[Measurement], *, latency: float) -> tuple[tuple[int, ...], int]:
    """Batch sizes to prefer, and microseconds to wait for them.

    Args:
        measured: One request at a time, by size of the batch, the smallest first.
        latency: Seconds that a request may take.

    Returns:
        The sizes within the budget whose throughput is above that of all smaller ones by more than noise. Where batches
        gain nothing, 1 and no waiting: Triton then joins no requests, and gives them to whichever instance is free.
    """
    preferred, top = [], measured[0].throughput
    longest = measured[0].seconds
    for one in measured[1:]:
        if one.seconds <= latency and one.throughput > _GAIN * top:
            preferred.append(one.batch)
            top, longest = one.throughput, one.seconds
    if not preferred:
        return (1,), 0
    return tuple(preferred), int((latency - longest) * _DELAY_SHARE * 1e6)


def best_instances(measured: list[Measurement], *, latency: float) -> int:
    """How many copies: the fewest whose throughput no other number within the budget beats by more than noise."""
    within = [one for one in measured if one.seconds <= latency] or measured
    top = max(one.throughput for one in within)
    return min(one.instances for one in within if one.throughput * _GAIN >= top)


def _sizes(largest: int) -> list[int]:
    """1, 2, 4, ... up to the model's largest batch."""
    return [2**power for power in range(largest.bit_length()) if 2**power <= largest]


def _measure(
    triton: Triton, config: ModelConfig, version: int, batch: Array, *, clients: int, requests: int
) -> Measurement:
    def ask(_: int) -> float:
        start = time.perf_counter()
        triton.infer(config, version, batch)
        return time.perf_counter() - start

    ask(0)  # the first of its shape is slower
    start = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        seconds = list(pool.map(ask, range(requests)))
    throughput = requests * len(batch) / (time.perf_counter() - start)
    return Measurement(len(batch), config.execution.instances, clients, statistics.median(seconds), throughput)
