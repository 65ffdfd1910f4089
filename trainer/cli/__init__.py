"""The command line ``trainer``. One file per command."""

from __future__ import annotations

import typer

from sixpoint.cli import exit_code
from sixpoint.cli.json_errors import JsonErrors
from sixpoint.errors import SixpointError
from trainer.cli import evaluate, pretrain, samples, train
from trainer.cli.console import err

__all__ = ["app", "main"]

app = typer.Typer(
    cls=JsonErrors,
    no_args_is_help=True,
    help="Train and evaluate sixpoint's networks.",
    pretty_exceptions_enable=False,
)
app.command()(pretrain.pretrain)
app.command(epilog=evaluate.EPILOG)(evaluate.evaluate)
app.command()(train.train)
app.command()(samples.samples)


def main() -> None:
    """Run the command line. A SixpointError is printed as one line, without a traceback."""
    try:
        app()
    except SixpointError as error:
        err.print(f"error: {error.message}", style="red", highlight=False, markup=False, soft_wrap=True)
        raise SystemExit(exit_code(error)) from error
