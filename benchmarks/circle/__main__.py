"""The whole circle on phantoms (`make circle`), or on real images that the shipped model was not trained on.

python -m benchmarks.circle
python -m benchmarks.circle --data ../shared/data --cases 60 --new 12 --minutes 6 --output out/circle-hippocampus

A simulated annotator gets images from a real gateway, outlines them, saves them, and accepts them; the loop trains by
its rules, and publishes what passes its gates. All cases are outlined with the shipped model alone before, to compare.
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.circle.cases import coils, hippocampi
from benchmarks.circle.pictures import draw_clicks, report_page, summary
from benchmarks.circle.run import annotate_alone, annotate_in_the_circle, write_figures
from benchmarks.servers.local_servers import running
from sixpoint.client import Client
from sixpoint.io.atomic_files import write_file
from sixpoint.loop import Rules, read_decisions
from sixpoint.loop.rules import Gates, TrainRules

DATASET = "circle"


def main(
    data: Annotated[
        Path | None, typer.Option(help="Folder of the labelled images beside the project.", show_default="phantoms")
    ] = None,
    cases: Annotated[int, typer.Option(min=4, help="Number of cases.")] = 12,
    new: Annotated[int, typer.Option(min=1, help="New accepted annotations after which to train.")] = 4,
    minutes: Annotated[float, typer.Option(help="Budget of each training.")] = 4,
    steps: Annotated[int, typer.Option(min=1, help="Steps after which a training ends before its budget.")] = 60,
    rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 5e-4,
    validation: Annotated[float, typer.Option(help="Share of the cases that are held out for validation.")] = 0.2,
    output: Annotated[Path, typer.Option("--output", "-o", file_okay=False, help="Folder to write.")] = Path(
        "out/circle"
    ),
) -> None:
    """Go round the circle, and measure whether it gets easier."""
    began = time.monotonic()
    listed = hippocampi(data, cases) if data else coils(cases)
    rules = Rules(
        modality="MRI",
        licence="CC-BY-SA-4.0" if data else "Apache-2.0",
        train=TrainRules(new_accepted=new, minimum=min(4, new), minutes=minutes, steps=steps, rate=rate),
        gates=Gates(may_fall=0.02),
    )
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    with running() as servers, Client(servers.gateway) as client:
        alone = annotate_alone(client, listed, model=rules.model, say=_say)
        circle = annotate_in_the_circle(
            client,
            listed,
            dataset=DATASET,
            rules=rules,
            folder=output / "loop",
            repository=servers.folder / "models",
            triton=servers.triton,
            held_out=(validation, 0.0),
            say=_say,
        )
        page = report_page(client, DATASET, read_decisions(output / "loop"))
    seconds = time.monotonic() - began
    write_file(output / "report.html", page.encode())
    write_file(output / "circle.svg", draw_clicks(alone, circle).encode())
    write_figures(alone, circle, output / "figures.json", seconds=seconds)
    for line in summary(alone, circle):
        _say(line)
    _say(f"wrote report.html, circle.svg and figures.json to {output}, after {seconds / 60:.1f} minutes")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    typer.run(main)
