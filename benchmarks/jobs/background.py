"""Measure a job in the background on a running gateway."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import typer

from benchmarks.images.examples import read_example
from benchmarks.segmentation import MODEL as SEGMENTED
from benchmarks.segmentation import ask_triton, patches_of, phantom_piece, shipped_spec
from sixpoint.client import Client, JobInfo
from sixpoint.errors import Unavailable
from sixpoint.volume import Volume

__all__ = ["CLICKED", "SEGMENTED", "Clicks", "Throughput", "measure_clicks", "measure_throughput"]

CLICKED = "annotation"
"""Model that a person clicks with."""
_LABELS = ("anterior", "posterior")
_DATASET, _ORGAN = "background", 1
_IMAGES_OF_A_JOB = 4
# A job that does not end while people click.
_IMAGES_BESIDE_CLICKS = 120
_SEED_BESIDE_CLICKS = 10_000
_CLICKS_OF_A_BLOCK = 12
# A person looks at a mask before the next click.
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.5, 2.5
_WAIT_SECONDS, _POLL_SECONDS = 300.0, 0.05


@dataclass
class Throughput:
    """Seconds of jobs, and of their patches alone.

    Attributes:
        job: Seconds of each job.
        bare: Seconds of as many images' patches, sent to Triton without a gateway.
    """

    job: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)


@dataclass
class Clicks:
    """Seconds of clicks.

    Attributes:
        idle: While no job runs.
        beside: While one does.
        share: Patches per second of the job then, over those without clicks.
    """

    idle: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)
    share: float = 0.0


def measure_throughput(*, server: str, triton: str, rounds: int) -> Throughput:
    """Alternate a job with its images' patches sent to Triton.

    Args:
        server: Address of the gateway, host:port.
        triton: Address of the Triton behind it, host:port.
        rounds: Number of jobs, after one that starts the worker.
    """
    result, spec = Throughput(), shipped_spec()
    with Client(server) as client:
        client.datasets.create(_DATASET, labels=_LABELS)
        for number in range(rounds + 1):
            volumes = _volumes(_IMAGES_OF_A_JOB, seed=number)
            digests = [client.datasets.add_image(_DATASET, volume).digest for volume in volumes]
            patches = [patch for volume in volumes for patch in patches_of(volume, spec)]
            job = client.jobs.segment(_DATASET, SEGMENTED, digests=digests)
            job = client.jobs.watch(job.id, seconds=_WAIT_SECONDS)
            if job.state != "succeeded" or job.started is None or job.ended is None:
                raise Unavailable(f"the job {job.state}: {job.error}")
            started = time.perf_counter()
            asyncio.run(ask_triton(triton, patches, spec))
            if number:
                result.bare.append(time.perf_counter() - started)
                result.job.append((job.ended - job.started).total_seconds())
            _tell(f"job {number} of {rounds}: {result.job[-1]:.1f} s" if number else "the worker has started")
    return result


def measure_clicks(*, server: str, clicks: int) -> Clicks:
    """Alternate clicks beside a job with clicks while it is paused; :func:`measure_throughput` goes before.

    Args:
        server: Address of the gateway, host:port.
        clicks: Number of clicks of each kind.
    """
    result, example, pauses = Clicks(), read_example(), random.Random(0)
    with Client(server) as client, client.open_session(example.volume, model=CLICKED) as session:
        prompts = example.clicks(_ORGAN)
        session.annotate(example.prompt(_ORGAN))

        def click(count: int) -> Iterator[float]:
            for _ in range(count):
                time.sleep(pauses.uniform(_SHORTEST_PAUSE, _LONGEST_PAUSE))
                started = time.perf_counter()
                session.annotate(next(prompts))
                yield time.perf_counter() - started

        list(click(3))
        for volume in _volumes(_IMAGES_BESIDE_CLICKS, seed=_SEED_BESIDE_CLICKS):
            client.datasets.add_image(_DATASET, volume)
        job = client.jobs.segment(_DATASET, SEGMENTED)
        alone, beside = [], []
        while len(result.beside) < clicks:
            with _running(client, job) as progress:
                begun, started = progress(), time.perf_counter()
                time.sleep(_LONGEST_PAUSE)
                alone.append((progress() - begun) / (time.perf_counter() - started))
                begun, started = progress(), time.perf_counter()
                result.beside += click(_CLICKS_OF_A_BLOCK)
                beside.append((progress() - begun) / (time.perf_counter() - started))
            result.idle += click(_CLICKS_OF_A_BLOCK)
            _tell(f"clicks beside a job: {min(len(result.beside), clicks)} of {clicks}")
        client.jobs.cancel(job.id)
    result.share = float(np.sum(beside) / np.sum(alone))
    return result


@contextlib.contextmanager
def _running(client: Client, job: JobInfo) -> Iterator[Callable[[], float]]:
    """Let a job run within the block; yields a function that returns the images that are done."""
    before = client.jobs.get(job.id)
    if before.state == "paused":
        client.jobs.resume(job.id)
    # First it passes over what is done.
    _wait(client, job, lambda info: info.state == "running" and info.done > before.done)
    yield lambda: client.jobs.get(job.id).done
    client.jobs.pause(job.id)
    _wait(client, job, lambda info: info.state == "paused")


def _wait(client: Client, job: JobInfo, condition: Callable[[JobInfo], bool]) -> None:
    end = time.monotonic() + _WAIT_SECONDS
    while not condition(info := client.jobs.get(job.id)):
        if time.monotonic() > end or info.error:
            raise Unavailable(f"the job is {info.state}: {info.error or 'for too long'}")
        time.sleep(_POLL_SECONDS)


def _tell(line: str) -> None:
    # A whole run takes ten minutes.
    typer.echo(line, err=True)


def _volumes(count: int, *, seed: int) -> Sequence[Volume]:
    """Images of which each has another digest."""
    generator, volume = np.random.default_rng(seed), phantom_piece()
    return [
        Volume((volume.array + generator.integers(-20, 20, volume.array.shape)).astype(np.int16), volume.geometry)
        for _ in range(count)
    ]
