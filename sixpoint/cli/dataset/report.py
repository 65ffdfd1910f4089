"""``sixpoint dataset report``: one HTML file about a dataset."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from sixpoint.cli.common import CLI_RETRY, JsonOption, ServerOption, print_json
from sixpoint.cli.dataset.group import NameArgument, annotation_facts, dataset, dataset_facts
from sixpoint.client import Client
from sixpoint.dataset_report import DatasetFigures, collect_figures, hardest_cases, render_page
from sixpoint.errors import InvalidArgument
from sixpoint.io.atomic_files import write_file
from sixpoint.loop import read_decisions
from sixpoint.protocol import DEFAULT_SERVER

__all__ = ["report"]


# An image, or what somebody wrote, is not replaced by a report because of a slip.
_SUFFIXES = (".html", ".htm")


@dataset.command(epilog="Example: sixpoint dataset report abdomen -o report.html")
def report(
    name: NameArgument,
    output: Annotated[Path, typer.Option("--output", "-o", dir_okay=False, help="HTML file to write.")] = Path(
        "report.html"
    ),
    loop_folder: Annotated[
        Path | None,
        typer.Option("--loop", file_okay=False, help="Folder of the dataset's loop.", show_default="loops/DATASET"),
    ] = None,
    pictures: Annotated[int, typer.Option(min=0, help="Number of pictures of cases that took most corrections.")] = 6,
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Write a report: corrections and work over time, people, labels, the versions that were trained, and why.

    It is one file, which opens without a server. Its pictures show patients' images, and it names cases and annotators.
    """
    if output.suffix.lower() not in _SUFFIXES:
        raise InvalidArgument(f"{output} is no name for a report, which is HTML; expected one that ends in .html")
    with Client(server, retry=CLI_RETRY) as client:
        figures = collect_figures(client, name, read_decisions(loop_folder or Path("loops") / name))
        page = render_page(figures, hardest_cases(client, figures.cases, count=pictures))
    write_file(output, page.encode())
    if as_json:
        print_json(_facts(figures))
    else:
        Console(highlight=False, soft_wrap=True).print(escape(f"wrote {output}"))


def _facts(figures: DatasetFigures) -> dict[str, object]:
    return {
        "dataset": dataset_facts(figures.dataset),
        "images": figures.images,
        "cases": [
            {
                "case": case.case,
                "corrections": round(case.corrections, 2),
                "seconds": round(case.seconds, 1),
                "annotation": annotation_facts(case.annotation),
            }
            for case in figures.cases
        ],
        "annotators": [asdict(each) for each in figures.annotators],
        "labels": [asdict(each) for each in figures.labels],
        "decisions": [decision.model_dump(mode="json") for decision in figures.decisions],
    }
