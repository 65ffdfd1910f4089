"""``exporter validate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.table import Table

from exporter.cli.console import clear_errors, err, out
from exporter.cli.options import AsJson, RepositoryFolder, Wide, address_of
from sixpoint.cli.tables import print_table

if TYPE_CHECKING:
    from exporter.repository.validate import ModelReport

__all__ = ["EPILOG", "validate"]

EPILOG = """\b
Examples:
  exporter validate
  exporter validate /srv/models --json"""


def validate(
    repository: RepositoryFolder = "",
    wide: Wide = False,
    as_json: AsJson = False,
) -> None:
    """Check every model in a repository: config, spec, graph, and one inference. Exits with 1 if a check fails."""
    with clear_errors():
        from exporter.repository.validate import validate as validate_models

        folder = Path(address_of(repository)).absolute()
        reports = validate_models(folder)
    problems = [f"{report.name}: {problem}" for report in reports for problem in report.problems]
    if as_json:
        content = {"repository": str(folder), "valid": not problems, "models": [report.to_dict() for report in reports]}
        out.print_json(json.dumps(content))
    else:
        if reports:
            print_table(_table(reports), wide=wide)
        else:
            out.print(f"no models in {folder}", markup=False)
        for problem in problems:
            err.print(f"error: {problem}", markup=False)
    if problems:
        raise typer.Exit(1)


def _table(reports: list[ModelReport]) -> Table:
    table = Table("model", "versions", "input", "output", "")
    for report in reports:
        table.add_row(
            report.name,
            ", ".join(map(str, report.versions)),
            "\n".join(report.inputs),
            "\n".join(report.outputs),
            "[red]not valid[/red]" if report.problems else "[green]valid[/green]",
        )
    return table
