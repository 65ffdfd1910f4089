"""The command line ``trainer``. One file per command."""

from __future__ import annotations

import os

import typer

from sixpoint.cli import exit_code
from sixpoint.cli.image_warnings import warnings_as_sentences
from sixpoint.cli.json_errors import JsonErrors
from sixpoint.cli.version import VersionOption
from sixpoint.environment import misspelt_variables
from sixpoint.errors import SixpointError
from trainer.cli import evaluate, pretrain, samples, train
from trainer.cli.console import err, say

__all__ = ["app", "main"]

app = typer.Typer(
    cls=JsonErrors,
    no_args_is_help=True,
    help="Train and evaluate sixpoint's networks.",
    pretty_exceptions_enable=False,
)


@app.callback()
def _program(version: VersionOption = False) -> None:
    """Train and evaluate sixpoint's networks."""


app.command(epilog="Example: trainer pretrain runs/annotation --minutes 60")(pretrain.pretrain)
app.command(epilog=evaluate.EPILOG)(evaluate.evaluate)
app.command(
    epilog="Examples: trainer train runs/hippocampus --data Task04_Hippocampus --task segmentation --minutes 45. "
    "trainer train runs/mine --data Task09_Spleen --task annotation --init runs/annotation/checkpoint.pt."
)(train.train)
app.command(epilog="Example: trainer samples out/samples.png --rows 4")(samples.samples)


def main() -> None:
    """Run the command line. A SixpointError is printed as one line, without a traceback."""
    for sentence in misspelt_variables(os.environ):
        say(f"warning: {sentence}")
    try:
        with warnings_as_sentences():
            app()
    except SixpointError as error:
        err.print(f"error: {error.message}", style="red", highlight=False, markup=False, soft_wrap=True)
        raise SystemExit(exit_code(error)) from error
