"""Segment a dataset in the background: its throughput, and the clicks of a person beside it.

Throughput: jobs segment a few new images each; the patches of as many images go through the same Triton without a
gateway. Clicks: a person annotates, with a pause before each click, while a job segments a large dataset, and while the
job is paused. Both sides of each ratio alternate within one run, so that they are valid on a noisy machine::

    python -m benchmarks.jobs                   # servers are started for it and stopped after it
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.figures import Figure, as_json, as_markdown, p50, p95
from benchmarks.jobs.background import CLICKED, SEGMENTED, Clicks, Throughput, measure_clicks, measure_throughput
from benchmarks.servers.local_servers import TRITON_ENVIRONMENT, running

__all__ = ["figures", "main"]


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Jobs, each beside its patches alone.")] = 5,
    clicks: Annotated[int, typer.Option(min=2, help="Clicks beside a job, and as many without.")] = 60,
    environment: Annotated[
        Path, typer.Option(envvar="SIXPOINT_TRITON_ENVIRONMENT", help="Where Triton is installed.")
    ] = TRITON_ENVIRONMENT,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the figures here, as JSON.")] = None,
) -> None:
    """Start Triton and a gateway, measure, and stop both; print a table in Markdown."""
    with running(model=CLICKED, further_models=[SEGMENTED], environment=environment) as servers:
        throughput = measure_throughput(server=servers.gateway, triton=servers.triton, rounds=rounds)
        measured = figures(throughput, measure_clicks(server=servers.gateway, clicks=clicks))
    measured.append(Figure(name="load of the machine, mean of the last 5 minutes", value=os.getloadavg()[1]))
    typer.echo(as_markdown(measured))
    if json_file is not None:
        json_file.write_text(json.dumps(as_json(measured), indent=1))


def figures(throughput: Throughput, clicks: Clicks) -> list[Figure]:
    """Convert the measurements to figures with limits."""
    ratios = [bare / job for bare, job in zip(throughput.bare, throughput.job, strict=True)]
    return [
        Figure(name="job: throughput over that of bare patches, p50", value=p50(ratios), minimum=0.95),
        Figure(name="job: seconds of each, p50", value=p50(throughput.job), unit="s"),
        Figure(name="its patches alone, p50", value=p50(throughput.bare), unit="s"),
        Figure(
            name="click beside a job: p95 over that without", value=p95(clicks.beside) / p95(clicks.idle), maximum=1.5
        ),
        Figure(name="click beside a job: p50 over that without", value=p50(clicks.beside) / p50(clicks.idle)),
        Figure(name="click without a job, p95", value=1000 * p95(clicks.idle), unit="ms"),
        Figure(name="click beside a job, p95", value=1000 * p95(clicks.beside), unit="ms"),
        Figure(name="patches of the job beside clicks, of those without", value=clicks.share),
    ]


if __name__ == "__main__":
    typer.run(main)
