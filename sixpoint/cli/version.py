"""The option ``--version``, of every command line of the package."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import sixpoint

__all__ = ["VersionOption"]


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"sixpoint {sixpoint.__version__}\n")
        raise typer.Exit


VersionOption = Annotated[
    bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version, and exit.")
]
