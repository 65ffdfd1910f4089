"""The command line ``gateway``: serve, run a demo, copy the shipped models, or write what a monitoring needs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from gateway.commands.audit import app as audit_app
from gateway.commands.tokens import app as token_app
from gateway.commands.worker import add_worker
from gateway.core.runtime.process.malloc import keep_freed_memory
from gateway.core.runtime.process.open_files import raise_open_files
from gateway.doctor.command import add_doctor
from gateway.observability.alerts import alert_rules
from gateway.observability.dashboard import dashboard
from gateway.observability.logs import configure, log_uncaught_in_loop
from gateway.read_settings import read_settings
from gateway.server import Gateway
from gateway.settings import Settings
from gateway.triton.local.server import LocalTriton
from gateway.triton.local.shipped_models import SHIPPED_MODELS, served_versions, update_models
from sixpoint.cli.common import VerboseOption
from sixpoint.cli.image_warnings import warnings_as_sentences
from sixpoint.cli.version import VersionOption
from sixpoint.environment import misspelt_variables
from sixpoint.errors import InvalidArgument, SixpointError, Unavailable
from sixpoint.io.output_files import check_not_inputs
from sixpoint.io.secret_files import exposed_files

__all__ = ["app", "main"]

_log = logging.getLogger(__name__)

# Several Tritons that share a volume start at once.
_OTHER_COPIES_SECONDS = 120.0

app = typer.Typer(
    epilog="Exit codes: 0 success; 1 any error; 2 usage error; 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(token_app, name="token")
app.add_typer(audit_app, name="audit")


models_app = typer.Typer(no_args_is_help=True, add_completion=False)
app.add_typer(models_app, name="models", help="Handle the shipped models.")


@app.callback()
def _program(version: VersionOption = False) -> None:
    """The sixpoint gateway: annotation sessions over gRPC, in front of NVIDIA Triton. Settings are environment
    variables SIXPOINT_...; docs/reference/settings.md lists them.
    """


@app.command(epilog="Example: SIXPOINT_PORT=50052 gateway serve --local-triton")
def serve(
    local_triton: Annotated[
        bool, typer.Option("--local-triton", help="Also run Triton on this machine, and restart it if it dies.")
    ] = False,
) -> None:
    """Serve until Ctrl-C or SIGTERM, then drain: report NOT_SERVING, and let running calls finish."""
    settings = read_settings()
    configure(settings.log_level, settings.log_format)
    for sentence in (*misspelt_variables(os.environ), *exposed_files(settings.secret_files())):
        _log.warning("%s", sentence)
    keep_freed_memory()
    raise_open_files()
    asyncio.run(_serve(settings, local_triton=local_triton))


@app.command(epilog='Example: gateway demo --image ct.nii.gz --points "52,60,10 80,61,12 ..."')
def demo(
    image: Annotated[Path | None, typer.Option(help="Image to annotate; without it, a phantom CT.")] = None,
    points: Annotated[str, typer.Option(help='Six extreme points as voxel indices: "x,y,z x,y,z ...".')] = "",
    output: Annotated[Path, typer.Option(help="Folder for mask.nii.gz and preview.png.")] = Path("out"),
    verbose: VerboseOption = False,
) -> None:
    """Start Triton and the gateway, annotate one organ from six points, write mask and preview, and stop both."""
    # Imported late: it reads and writes files with packages that only clients need, which containers lack.
    from gateway.commands.demo import DEMO_FILES, choose_case, run_demo

    settings = read_settings()
    configure("ERROR", settings.log_format)
    for sentence in misspelt_variables(os.environ):
        sys.stderr.write(f"warning: {sentence}\n")
    check_not_inputs((output / name for name in DEMO_FILES), (image,))
    case = choose_case(image, points)
    with warnings_as_sentences():
        asyncio.run(run_demo(settings, case, output=output, verbose=verbose, console=Console(soft_wrap=True)))


@app.command(epilog="Example: gateway monitoring out/monitoring")
def monitoring(
    folder: Annotated[Path, typer.Argument(help="Folder for alerts.yaml and dashboard.json.")],
    force: Annotated[bool, typer.Option("--force", help="Replace files with other content.")] = False,
) -> None:
    """Write alert rules for Prometheus and a Grafana dashboard, for the metrics of SIXPOINT_STATUS_PORT."""
    contents = {"alerts.yaml": alert_rules(), "dashboard.json": dashboard()}
    files = {folder / name: f"{json.dumps(content, indent=2)}\n" for name, content in contents.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            # Operators change thresholds.
            if not force and file.exists() and file.read_bytes() != text.encode():
                raise InvalidArgument(f"{file} exists with other content; name another folder, or give --force")
        for file, text in files.items():
            file.write_text(text)
    except OSError as error:
        raise InvalidArgument(
            f"cannot write to {folder}: {error.strerror}; name a folder for the two files that you may write to"
        ) from error
    typer.echo(f"wrote {' and '.join(map(str, files))}")


@models_app.command("copy", epilog="Example: gateway models copy /models")
def copy_models(
    folder: Annotated[Path, typer.Argument(help="Model repository of a Triton; created if necessary.")],
) -> None:
    """Copy the shipped models to a folder that a Triton serves, such as a volume of its container. Run again, it adds
    versions that are new among the shipped ones; nothing that was published or deleted there is changed.
    """
    if not SHIPPED_MODELS.is_dir():
        raise InvalidArgument(
            f"there is no folder {SHIPPED_MODELS} with the shipped models here; start in the folder of sixpoint's "
            "checkout, or in a container's own working folder"
        )
    try:
        for note in update_models(SHIPPED_MODELS, folder, wait=_OTHER_COPIES_SECONDS):
            typer.echo(note)
        versions = served_versions(folder)
    except OSError as error:
        raise InvalidArgument(
            f"cannot copy the models to {folder}: {error.strerror}; name a folder that you may write to"
        ) from error
    if not versions:
        raise Unavailable(f"{folder} has no models yet: another process is writing to it; try again when it is done")
    typer.echo(f"{folder} has {', '.join(versions)}")


add_doctor(app)
add_worker(app)


def main() -> None:
    """Run the command line; print an error of sixpoint as one line on stderr, with exit code 1."""
    try:
        app()
    except SixpointError as error:
        Console(stderr=True, soft_wrap=True).print(f"[bold red]error[/]: {escape(error.message)}", highlight=False)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


async def _serve(settings: Settings, *, local_triton: bool) -> None:
    asyncio.get_running_loop().set_exception_handler(log_uncaught_in_loop)
    if not local_triton:
        await Gateway(settings, runs_workers=True).serve(announce=_announce)
        return
    _prepare_models(settings)
    async with LocalTriton(settings.local_triton()) as triton:
        watching = asyncio.create_task(triton.watch())
        try:
            served = settings.with_triton(triton.address, key=triton.key)
            await Gateway(served, runs_workers=True).serve(announce=_announce)
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching


def _prepare_models(settings: Settings) -> None:
    """Bring the copy of the shipped models up to date, and say in the log which models Triton serves."""
    served = settings.triton_model_repository
    if settings.serves_copy:
        try:
            notes = update_models(SHIPPED_MODELS, served)
        except OSError as error:
            raise Unavailable(f"the shipped models cannot be copied to {served}: {error.strerror or 'disk'}") from error
        for note in notes:
            _log.info("%s", note)
    origin = f", a copy of {SHIPPED_MODELS.absolute()}" if settings.serves_copy and SHIPPED_MODELS.is_dir() else ""
    _log.info("Triton serves the models in %s%s", served.absolute(), origin)


def _announce(address: str) -> None:
    # Only in a terminal: the output of a service is its log.
    if sys.stdout.isatty():
        typer.echo(f"sixpoint listens on {address}; try `sixpoint models` in another terminal. Ctrl-C stops it.")
