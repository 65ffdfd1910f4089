"""One table of all measurements of speed and memory: what, aim, got."""

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
    """Start Triton and a gateway, measure, stop both; a table in Markdown."""
    example = read_example(image, labels)
    large = large_ct(example)
    _say("starting Triton and a gateway ...")
    with running(environment=environment) as found:
        _say("one prompt after the other ...")
        times = overhead.measure(large, [label], server=found.gateway, triton=found.triton)
        figures = overhead.figures(times)
        _say(f"{sessions} sessions at once ...")
        crowd = throughput.measure(example, server=found.gateway, triton=found.triton, sessions=sessions, idle=idle)
        figures += throughput.figures(asyncio.run(crowd))
        _say("uploads ...")
        figures += upload.figures(asyncio.run(upload.measure(large, label, server=found.gateway)))
    _say("a window that slides ...")
    with running(model=segmentation.MODEL, environment=environment) as found:
        ratios = segmentation.measure_throughput(server=found.gateway, triton=found.triton)
    figures += segmentation.figures(ratios, segmentation.measure_memory())
    if peer_url:
        _say("MONAI Label ...")
        # With a fresh gateway, since its memory is measured too, and the uploads are in this one's.
        with running(environment=environment) as found:
            compared = comparison.compare(
                large, label, server=found.gateway, triton=found.triton, peer=peer_url, seconds=seconds
            )
        figures += comparison.figures(compared)
    typer.echo(as_markdown(figures))
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(as_json(figures), indent=1))


def _say(what: str) -> None:
    # Apart from the table, which may go to a file.
    typer.echo(what, err=True)
