"""Overhead of a prompt over Triton, on a CT of 512x512x256 voxels: six points, then a click.

Two measures: the duration of the whole call minus Triton's compute time, from its statistics before and after the call
(no other client may use Triton meanwhile); and the ratio to a bare Triton call with the same tensor. The calls
alternate within one run, so that the figures are valid on a noisy machine, too::

    make serve &
    python -m benchmarks.overhead                       # on the phantom CT
    python -m benchmarks.overhead ct.nii.gz label.nii.gz --label 5 --label 1
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure
from benchmarks.images.examples import Example, large_ct, network_tensor, read_example
from benchmarks.servers.bare_triton import BareTriton
from sixpoint.client import Client, Session
from sixpoint.prompts import Prompt

PHASES = ("queue", "preprocess", "inference", "postprocess", "encode", "store")
BEYOND = "beyond Triton's compute"
BARE_BEYOND = "bare Triton beyond its compute"
# The first calls fill caches on both sides, and the very first computes block means.
WARM_UP_CALLS = 3

Durations = dict[str, dict[str, float]]


def main(
    image: Annotated[Path | None, typer.Argument(help="CT; without it, the phantom.")] = None,
    labels: Annotated[Path | None, typer.Argument(help="Its label image.")] = None,
    label: Annotated[list[int] | None, typer.Option(help="Number of a structure to outline; may be repeated.")] = None,
    repeats: Annotated[int, typer.Option(help="Calls of each kind.")] = 30,
    server: Annotated[str, typer.Option(envvar="SIXPOINT_SERVER", help="The gateway.")] = "127.0.0.1:50051",
    triton: Annotated[str, typer.Option(envvar="SIXPOINT_TRITON_URL", help="Triton behind it.")] = "127.0.0.1:8001",
    model: Annotated[str, typer.Option(help="The model.")] = "annotation",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare a prompt with a bare Triton call, and print the duration of each phase."""
    example = large_ct(read_example(image, labels))
    results = measure(example, label or [1], server=server, triton=triton, model=model, repeats=repeats)
    if as_json:
        typer.echo(json.dumps(results, indent=1))
        return
    for name, durations in results.items():
        table = Table(name, "p50", "p95", box=None)
        for key, value in durations.items():
            unit = "" if key == "ratio" else " ms"
            table.add_row(key, f"{value['p50']:.2f}{unit}", f"{value['p95']:.2f}{unit}")
        Console().print(table)


def measure(
    example: Example, numbers: Sequence[int], *, server: str, triton: str, model: str = "annotation", repeats: int = 30
) -> dict[str, Durations]:
    """Measure the duration of prompts and of their phases, by structure and kind of prompt.

    Args:
        example: Image to prompt on.
        numbers: Labels of the structures to outline.
        server: Address of the gateway, host:port.
        triton: Address of the Triton behind it, host:port.
        model: Name of the model.
        repeats: Number of calls of each kind.
    """
    bare = BareTriton.connect(triton, model)
    results: dict[str, Durations] = {}
    with Client(server) as client:
        for number in numbers:
            with client.open_session(example.volume, model=model) as session:
                for kind, durations in _measure(session, bare, example, number, repeats).items():
                    results[f"label {number}, {kind}"] = durations
    return results


def figures(results: dict[str, Durations]) -> list[Figure]:
    """Convert the measurements to figures with limits."""
    result = []
    for name, durations in results.items():
        beyond = durations[BEYOND]
        result += [
            Figure(name=f"{name}: beyond Triton's compute, p50", value=beyond["p50"], unit="ms", maximum=15),
            Figure(name=f"{name}: beyond Triton's compute, p95", value=beyond["p95"], unit="ms", maximum=40),
            Figure(name=f"{name}: over the bare call of Triton, p50", value=durations["ratio"]["p50"], maximum=1.15),
            Figure(name=f"{name}: the whole call, p50", value=durations["annotate"]["p50"], unit="ms"),
            Figure(name=f"{name}: the bare call, p50", value=durations["bare Triton"]["p50"], unit="ms"),
            Figure(
                name=f"{name}: the bare call beyond Triton's compute, p50",
                value=durations[BARE_BEYOND]["p50"],
                unit="ms",
            ),
        ]
    return result


def _measure(session: Session, bare: BareTriton, example: Example, number: int, repeats: int) -> dict[str, Durations]:
    """Alternate six points, a click and bare calls; return the durations of both kinds of prompt."""
    points, spec = example.prompt(number), bare.spec()
    clicks = example.clicks(number)
    network_input = network_tensor(example.volume, points, spec)
    rows: dict[str, list[dict[str, float]]] = {"points": [], "clicks": []}
    for _ in range(repeats + WARM_UP_CALLS):
        for kind, prompt in (("points", points), ("clicks", next(clicks))):
            computed = bare.compute_ms()
            alone = bare.call_ms(network_input, spec)
            bare_beyond = alone - (bare.compute_ms() - computed)
            row = _timed(session, bare, prompt)
            rows[kind].append({"bare Triton": alone, BARE_BEYOND: bare_beyond, **row, "ratio": row["annotate"] / alone})
    return {kind: _percentiles(calls[WARM_UP_CALLS:]) for kind, calls in rows.items()}


def _timed(session: Session, bare: BareTriton, prompt: Prompt) -> dict[str, float]:
    """Measure one call through the gateway, in milliseconds."""
    before = bare.compute_ms()
    started = time.perf_counter()
    mask = session.annotate(prompt)
    whole = (time.perf_counter() - started) * 1000
    computed = bare.compute_ms() - before
    phases = {name: getattr(mask.timings, name).total_seconds() * 1000 for name in PHASES}
    return {"annotate": whole, **phases, "reply": whole - sum(phases.values()), BEYOND: whole - computed}


def _percentiles(rows: list[dict[str, float]]) -> Durations:
    columns = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    return {
        key: {"p50": round(float(np.median(v)), 2), "p95": round(float(np.percentile(v, 95)), 2)}
        for key, v in columns.items()
    }


if __name__ == "__main__":
    typer.run(main)
