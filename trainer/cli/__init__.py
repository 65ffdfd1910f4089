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
from trainer.cli.console import describe_os_error, err, say

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
    """Run the command line. Errors of sixpoint and of the operating system are one line each, without a traceback."""
    for sentence in misspelt_variables(os.environ):
        say(f"warning: {sentence}")
    try:
        with warnings_as_sentences():
            app()
    except SixpointError as error:
        message, code = error.message, exit_code(error)
    except OSError as error:  # full disk, missing permission
        message, code = describe_os_error(error), 1
    else:
        return
    err.print(f"error: {message}", style="red", highlight=False, markup=False, soft_wrap=True)
    raise SystemExit(code)
