"""All measurements of speed and memory in one table: what, aim, got."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import overhead, segmentation, throughput, upload
from benchmarks.figures import as_json, as_markdown
from benchmarks.images.examples import large_ct, read_example
from benchmarks.peer import comparison
from benchmarks.servers.local_servers import TRITON_ENVIRONMENT, running

__all__ = ["main"]


def main(
    image: Annotated[Path | None, typer.Argument(help="Image; without it, the phantom CT.")] = None,
    labels: Annotated[Path | None, typer.Argument(help="Its label image.")] = None,
    label: Annotated[int, typer.Option(help="Number of the structure to outline.")] = 1,
    peer_url: Annotated[str, typer.Option("--peer", help="URL of a MONAI Label server, to compare with.")] = "",
    sessions: Annotated[int, typer.Option(min=1, help="Sessions that prompt at once.")] = 32,
    idle: Annotated[int, typer.Option(min=0, help="Sessions to open and leave alone.")] = 200,
    seconds: Annotated[float, typer.Option(help="How long 1, 4 and 8 users ask each server.")] = 8.0,
    environment: Annotated[
        Path, typer.Option(envvar="SIXPOINT_TRITON_ENVIRONMENT", help="Where Triton is installed.")
    ] = TRITON_ENVIRONMENT,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the figures here, as JSON.")] = None,
) -> None:
    """Start Triton and a gateway, measure, and stop both; print a table in Markdown."""
    example = read_example(image, labels)
    large = large_ct(example)
    _say("starting Triton and a gateway ...")
    with running(environment=environment) as running_servers:
        _say("one prompt after the other ...")
        times = overhead.measure(large, [label], server=running_servers.gateway, triton=running_servers.triton)
        figures = overhead.figures(times)
        _say(f"{sessions} sessions at once ...")
        crowd = throughput.measure(
            example, server=running_servers.gateway, triton=running_servers.triton, sessions=sessions, idle=idle
        )
        figures += throughput.figures(asyncio.run(crowd))
        _say("uploads ...")
        figures += upload.figures(asyncio.run(upload.measure(large, label, server=running_servers.gateway)))
    _say("a window that slides ...")
    with running(model=segmentation.MODEL, environment=environment) as running_servers:
        ratios = segmentation.measure_throughput(server=running_servers.gateway, triton=running_servers.triton)
    figures += segmentation.figures(ratios, segmentation.measure_memory())
    if peer_url:
        _say("MONAI Label ...")
        # With a new gateway: its memory is measured, and the first one has the uploads in memory.
        with running(environment=environment) as running_servers:
            compared = comparison.compare(
                large,
                label,
                server=running_servers.gateway,
                triton=running_servers.triton,
                peer=peer_url,
                seconds=seconds,
            )
        figures += comparison.figures(compared)
    typer.echo(as_markdown(figures))
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(as_json(figures), indent=1))


def _say(message: str) -> None:
    # On stderr, since the table on stdout may go to a file.
    typer.echo(message, err=True)
