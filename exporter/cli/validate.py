"""``exporter validate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from exporter.cli.console import clear_errors, err, out

if TYPE_CHECKING:
    from exporter.repository.validate import ModelReport

__all__ = ["EPILOG", "validate"]

EPILOG = """\b
Examples:
  exporter validate
  exporter validate /srv/models --json"""


def validate(
    repository: Annotated[Path, typer.Argument(help="Triton's model repository.")] = Path("model_repository"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Check every model in a repository: config, spec, graph, and one inference. Exits with 1 if a check fails."""
    with clear_errors():
        from exporter.repository.validate import validate as validate_models

        reports = validate_models(repository)
    problems = [f"{report.name}: {problem}" for report in reports for problem in report.problems]
    if as_json:
        content = {"valid": not problems, "models": [report.to_dict() for report in reports]}
        out.print_json(json.dumps(content))
    else:
        out.print(_table(reports) if reports else f"no models in {repository}")
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
