"""Attack gateways and measure what others notice, in one table.

python -m benchmarks.attacks                                     # every attack, by 1, 10 and 100 hostile callers
python -m benchmarks.attacks "mask bomb" forks --callers 10 --json out/attacks.json
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.attacks.catalogue import ATTACKS
from benchmarks.attacks.measurement import Outcome, measure
from benchmarks.attacks.table import as_table, missed
from benchmarks.images.examples import read_example
from benchmarks.servers.local_servers import TRITON_ENVIRONMENT, running
from sixpoint.errors import SixpointError

_WIDTH = 200


def main(
    names: Annotated[list[str] | None, typer.Argument(help="Attacks; without any, all.")] = None,
    callers: Annotated[list[int] | None, typer.Option(help="Number of hostile callers; may be repeated.")] = None,
    seconds: Annotated[float, typer.Option(help="How long each attack lasts.")] = 5.0,
    environment: Annotated[
        Path, typer.Option(envvar="SIXPOINT_TRITON_ENVIRONMENT", help="Where Triton is installed.")
    ] = TRITON_ENVIRONMENT,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the outcomes here, as JSON.")] = None,
) -> None:
    """Start Triton, and a gateway for each attack; print what was measured. A row with ! misses a limit."""
    chosen = names or list(ATTACKS)
    if unknown := set(chosen) - set(ATTACKS):
        raise typer.BadParameter(f"unknown: {', '.join(sorted(unknown))}; expected some of: {', '.join(ATTACKS)}")
    example, outcomes = read_example(), list[Outcome]()
    with running(environment=environment) as servers:
        for name in chosen:
            for number in callers or [1, 10, 100]:
                try:
                    outcome = measure(
                        ATTACKS[name], callers=number, example=example, triton=servers.triton, seconds=seconds
                    )
                except SixpointError as error:
                    typer.echo(f"{name}, {number} callers: not measured: {error}", err=True)
                    continue
                outcomes.append(outcome)
                typer.echo(f"{name}, {number} callers: {'; '.join(missed(outcome)) or 'within limits'}", err=True)
                if json_file is not None:
                    json_file.parent.mkdir(parents=True, exist_ok=True)
                    json_file.write_text(json.dumps([asdict(one) for one in outcomes], indent=1))
    Console(width=_WIDTH).print(as_table(outcomes))


if __name__ == "__main__":
    typer.run(main)
