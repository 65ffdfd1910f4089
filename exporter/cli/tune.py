"""``exporter tune``."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from exporter.cli.console import clear_errors, out
from exporter.cli.options import AsJson, Repository, TritonTimeout, Wait, Wide, address_of
from sixpoint.cli.tables import print_table

__all__ = ["EPILOG", "tune"]

EPILOG = "Example: exporter tune annotation --triton 127.0.0.1:8001 --latency-ms 300"


def tune(
    name: Annotated[str, typer.Argument(help="Name of the model.")],
    triton: Annotated[
        list[str],
        typer.Option(
            help="gRPC endpoint of the Triton to measure on; of several, the first is measured and all serve the best.",
            metavar="HOST:PORT",
        ),
    ],
    latency_ms: Annotated[float, typer.Option(min=0, help="Milliseconds that a request may take.")] = 500.0,
    repository: Repository = "",
    timeout: TritonTimeout = 120.0,
    wait: Wait = 300.0,
    wide: Wide = False,
    as_json: AsJson = False,
) -> None:
    """Measure batch sizes and numbers of instances on Triton, and serve the model with the best within the budget."""
    with clear_errors():
        from exporter.publishing.triton import Triton
        from exporter.publishing.tune import tune as tune_model
        from exporter.repository.open import open_repository

        with Triton(",".join(triton), timeout=timeout) as server:
            chosen, measured = tune_model(
                open_repository(address_of(repository)), name, triton=server, latency=latency_ms / 1000, wait=wait
            )
        if as_json:
            out.print_json(
                json.dumps({"chosen": asdict(chosen), "measured": [asdict(measurement) for measurement in measured]})
            )
            return
        table = Table("batch", "instances", "clients", "ms", "inputs/s")
        for row in measured:
            cells = (row.batch, row.instances, row.clients, f"{row.seconds * 1000:.1f}", f"{row.throughput:.1f}")
            table.add_row(*map(str, cells))
        print_table(table, wide=wide)
        sizes = ", ".join(map(str, chosen.preferred))
        comment = " (larger ones gain nothing)" if chosen.preferred == (1,) else ""
        out.print(
            f"preferred batch sizes: {sizes}{comment}; queue delay: {chosen.delay_us} us; instances: {chosen.instances}"
        )
