"""The command ``gateway doctor``."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from gateway.doctor.examination import examine
from gateway.read_settings import read_settings
from sixpoint.cli.doctor.connection import Finding
from sixpoint.errors import InvalidArgument

__all__ = ["add_doctor"]

LocalTritonOption = Annotated[
    bool, typer.Option("--local-triton", help="Check for `gateway serve --local-triton`: Triton need not run.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")]


def add_doctor(app: typer.Typer) -> None:
    """Add the command to a command line."""

    @app.command(epilog="Example: SIXPOINT_TRITON_URL=gpu1:8001 gateway doctor")
    def doctor(local_triton: LocalTritonOption = False, as_json: JsonOption = False) -> None:
        """Check settings, ports, certificates, secrets, stores, disks and Triton, and say what to do about what is
        wrong. Nothing is changed.
        """
        findings = asyncio.run(_examined(local_triton=local_triton, show=not as_json))
        if as_json:
            typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
        if not all(finding.well for finding in findings):
            raise typer.Exit(1)


async def _examined(*, local_triton: bool, show: bool) -> list[Finding]:
    console = Console()
    findings = []
    try:
        examination = examine(read_settings(), local_triton=local_triton)
    except InvalidArgument as error:
        examination = None
        findings.append(Finding("settings", False, error.message, "The gateway does not start with these settings."))
    if examination is not None:
        async for finding in examination:
            findings.append(finding)
            if show:
                _print(console, finding)
    elif show:
        _print(console, findings[0])
    return findings


def _print(console: Console, finding: Finding) -> None:
    mark = "[bold red]wrong[/]" if not finding.well else "[yellow]note[/] " if finding.advice else "[green]ok[/]   "
    console.print(f"{mark} {escape(finding.what)}: {escape(finding.seen)}", highlight=False, soft_wrap=True)
    if finding.advice:
        console.print(f"      {escape(finding.advice)}", highlight=False, soft_wrap=True)
