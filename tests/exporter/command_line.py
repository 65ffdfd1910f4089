"""Run ``exporter`` in this process."""

from __future__ import annotations

from typer.testing import CliRunner, Result

from exporter.cli import app

__all__ = ["run"]


def run(*arguments: object) -> Result:
    """Run a command; stdout and stderr are captured separately."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])
