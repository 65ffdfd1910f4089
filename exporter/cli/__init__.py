"""The command line ``exporter``, with one file per command or group of commands."""

from __future__ import annotations

import os
import sys

import typer

from exporter.cli import export, publish, pull, tensorrt_job, tune, validate, versions
from exporter.cli.console import err
from sixpoint.cli.json_errors import JsonErrors
from sixpoint.cli.missing_extra import report_missing_extra
from sixpoint.cli.version import VersionOption
from sixpoint.environment import misspelt_variables
from sixpoint.io.secret_files import exposed_files, named_files
from sixpoint.io.triton_key import KEY_VARIABLE

# Commands import what they need when they run: PyTorch takes seconds to import, and --help should not.

__all__ = ["app", "main"]

_SECRETS = (KEY_VARIABLE, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")

app = typer.Typer(
    cls=JsonErrors,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog="Exit codes: 0 done; 2 wrong command line; 3 wrong input; 4 no such model or version; 5 not possible with "
    "this model, repository or installation; 6 a limit; 7 Triton or the store away; 8 too late; 1 anything else.",
)


@app.callback()
def _program(version: VersionOption = False) -> None:
    """Export trained models to Triton, and manage model repositories."""


app.command(epilog=export.EPILOG)(export.export)
app.command(epilog=pull.EPILOG)(pull.pull)
app.command(epilog=publish.EPILOG)(publish.publish)
app.command(epilog=validate.EPILOG)(validate.validate)
for _command in (
    versions.versions,
    versions.rollback,
    versions.promote,
    versions.remove,
    versions.tenants,
    versions.diff,
):
    app.command(epilog=versions.EPILOGS[_command.__name__])(_command)
app.command(epilog=tune.EPILOG)(tune.tune)
app.command(epilog=tensorrt_job.EPILOG)(tensorrt_job.tensorrt_job)


def main() -> None:
    """Run the command line."""
    for sentence in (*misspelt_variables(os.environ), *exposed_files(named_files(_SECRETS))):
        err.print(f"warning: {sentence}", markup=False)
    try:
        app()
    except ModuleNotFoundError as error:
        report_missing_extra(error, program="exporter")
        sys.exit(5)
