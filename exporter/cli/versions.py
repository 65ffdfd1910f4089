"""``exporter versions``, ``rollback``, ``promote``, ``remove``, ``tenants``, ``diff``."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from exporter.cli.console import clear_errors, out
from exporter.cli.options import AsJson, Force, Repository, TritonAddresses, TritonTimeout, Wait, Wide, address_of
from sixpoint.cli.tables import print_table
from sixpoint.errors import InvalidArgument, ModelNotFound

if TYPE_CHECKING:
    from exporter.parity.report import Agreement
    from exporter.publishing.status import VersionStatus
    from exporter.publishing.triton import Triton
    from exporter.publishing.versions import SessionCount, Switched
    from exporter.repository.protocol import ModelRepository

__all__ = ["EPILOGS", "diff", "promote", "remove", "rollback", "tenants", "versions"]

EPILOGS = {
    "versions": """\b
Examples:
  exporter versions liver
  exporter versions liver --repository s3://models/production --json""",
    "rollback": """\b
Examples:
  exporter rollback liver --triton 127.0.0.1:8001            the version that served before
  exporter rollback liver --to 3 --triton 127.0.0.1:8001     version 3""",
    "promote": """\b
Examples:
  exporter promote liver 4 --share 0.1 --triton 127.0.0.1:8001   a tenth of sessions get version 4
  exporter promote liver 4 --share 1 --triton 127.0.0.1:8001     all sessions: version 4 serves
  exporter promote liver 4 --share 0 --triton 127.0.0.1:8001     none: the trial ends""",
    "remove": "Example: exporter remove liver 2 --triton 127.0.0.1:8001 --gateway 127.0.0.1:50051",
    "tenants": """\b
Examples:
  exporter tenants liver north south --triton 127.0.0.1:8001   only these two see it
  exporter tenants liver --all --triton 127.0.0.1:8001         every tenant sees it""",
    "diff": "Example: exporter diff liver 3 4 --image ct.nii.gz",
}

Name = Annotated[str, typer.Argument(help="Name of the model.")]
Number = Annotated[int, typer.Argument(min=1, help="Number of the version.")]


def versions(name: Name, repository: Repository = "", wide: Wide = False, as_json: AsJson = False) -> None:
    """List a model's versions: state, share of sessions, and parity."""
    with _opened(repository) as (models, _):
        from exporter.publishing.status import list_versions

        listed = list_versions(models, name)
        if as_json:
            out.print_json(json.dumps([version.model_dump(mode="json") for version in listed]))
            return
        if not listed:
            out.print(f"{name} has no version in {models.address}", markup=False)
            return
        table = Table(box=None, pad_edge=False)
        for heading in ("version", "state", "share", "published", "SHA-256", "MiB", "bits", "parity", "Triton"):
            table.add_column(heading)
        for version in listed:
            table.add_row(*map(escape, _row(version)))
        print_table(table, wide=wide)


def rollback(
    name: Name,
    to: Annotated[
        int | None, typer.Option(min=1, help="Number of the version.", show_default="the one that served before")
    ] = None,
    repository: Repository = "",
    triton: TritonAddresses = None,
    timeout: TritonTimeout = 120.0,
    wait: Wait = 300.0,
    as_json: AsJson = False,
) -> None:
    """Let an earlier version serve again, after Triton has loaded and verified it."""
    with _opened(repository, triton, timeout) as (models, server):
        from exporter.publishing.versions import rollback as roll_back

        switched = roll_back(models, name, to=to, triton=server, wait=wait)
        _print_switched(name, switched, "serves", as_json=as_json)


def promote(
    name: Name,
    version: Number,
    share: Annotated[float, typer.Option(help="Share of sessions, 0 (none) to 1 (all: it serves).")],
    repository: Repository = "",
    triton: TritonAddresses = None,
    force: Force = False,
    timeout: TritonTimeout = 120.0,
    wait: Wait = 300.0,
    as_json: AsJson = False,
) -> None:
    """Give a version to a share of sessions, or of images for a segmentation model; each gets the same version on every
    gateway. More sessions for a version whose figures are worse than those of the serving one are refused.
    """
    with _opened(repository, triton, timeout) as (models, server):
        from exporter.publishing.versions import promote as promote_version

        switched = promote_version(models, name, version, share=share, triton=server, force=force, wait=wait)
        states = {1.0: "serves", 0.0: "is no longer on trial"}
        state = states.get(share, f"is on trial for {share:.0%} of the sessions")
        _print_switched(name, switched, state, as_json=as_json)


def remove(
    name: Name,
    version: Number,
    force: Annotated[
        bool, typer.Option("--force", help="Remove a version that is on trial or that sessions use.")
    ] = False,
    repository: Repository = "",
    triton: TritonAddresses = None,
    gateway: Annotated[
        str | None,
        typer.Option(
            help="Gateway to ask whether sessions use the version.",
            metavar="HOST:PORT",
            show_default="none: it is removed even if sessions use it",
        ),
    ] = None,
    timeout: TritonTimeout = 120.0,
    wait: Wait = 300.0,
) -> None:
    """Delete a version that does not serve."""
    with _opened(repository, triton, timeout) as (models, server):
        from exporter.publishing.versions import remove as remove_version

        with _sessions_of(gateway) as sessions:
            remove_version(models, name, version, triton=server, sessions=sessions, force=force, wait=wait)
        out.print(f"{name} version {version} is removed")


def tenants(
    name: Name,
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Tenants of the gateways that see the model.", show_default="none: give --all"),
    ] = None,
    everybody: Annotated[bool, typer.Option("--all", help="Show the model to every tenant.")] = False,
    repository: Repository = "",
    triton: TritonAddresses = None,
    timeout: TritonTimeout = 120.0,
    wait: Wait = 300.0,
) -> None:
    """Show a model, with all of its versions and those to come, to some tenants of the gateways only."""
    with _opened(repository, triton, timeout) as (models, server):
        if everybody == bool(names):
            raise InvalidArgument("name the tenants that see the model, or give --all for every one")
        from exporter.publishing.versions import show_to

        show_to(models, name, frozenset(names) if names else None, triton=server, wait=wait)
        out.print(f"{name} is shown to {', '.join(sorted(names)) if names else 'every tenant'}", markup=False)


def diff(
    name: Name,
    first: Annotated[int, typer.Argument(min=1, help="Number of the first version.")],
    second: Annotated[int, typer.Argument(min=1, help="Number of the second version.")],
    repository: Repository = "",
    image: Annotated[
        Path | None, typer.Option(help="Image to compare their answers on.", show_default="a phantom")
    ] = None,
    wide: Wide = False,
    as_json: AsJson = False,
) -> None:
    """Compare two versions: spec, metrics, files, and answers to the same inputs."""
    with _opened(repository) as (models, _):
        from exporter.publishing.diff import diff as compare
        from sixpoint.volume import Volume

        result = compare(models, name, first, second, image=Volume.read(image) if image else None)
        if as_json:
            content = {**asdict(result), "answers": result.answers.model_dump()}
            out.print_json(json.dumps(content))
            return
        table = Table("", f"version {first}", f"version {second}")
        for field, values in result.fields.items():
            table.add_row(field, *("" if value is None else escape(str(value)) for value in values))
        print_table(table, wide=wide)
        largest, dice = result.answers.largest, result.answers.dice
        out.print(f"answers ({result.sample}): largest difference {largest:.5f} of a probability, Dice {dice:.4f}")


def _print_switched(name: str, switched: Switched, state: str, *, as_json: bool) -> None:
    """Print which version does what now, and its figures beside those of the version that served."""
    figures = switched.figures
    if as_json:
        compared = figures and {**figures.model_dump(), "worse": figures.worse}
        out.print_json(json.dumps({"name": name, "version": switched.version, "state": state, "figures": compared}))
        return
    out.print(f"{name} version {switched.version} {state}", markup=False)
    for line in figures.lines() if figures else ():
        out.print(line, markup=False)


@contextlib.contextmanager
def _opened(
    repository: str, triton: list[str] | None = None, timeout: float = 120.0
) -> Iterator[tuple[ModelRepository, Triton | None]]:
    with clear_errors(), contextlib.ExitStack() as stack:
        from exporter.publishing.triton import Triton
        from exporter.repository.open import open_repository

        server = stack.enter_context(Triton(",".join(triton), timeout=timeout)) if triton else None
        yield open_repository(address_of(repository)), server


@contextlib.contextmanager
def _sessions_of(gateway: str | None) -> Iterator[SessionCount | None]:
    """Yield a function that asks a gateway how many sessions use a version; None without a gateway.

    Raises:
        InvalidArgument: The address is not host:port.
    """
    if gateway is None:
        yield None
        return
    if not gateway.rpartition(":")[2].isdecimal():
        raise InvalidArgument(f"the gateway's address must be host:port, got {gateway!r}")
    from sixpoint.client import Client, Retry

    with Client(gateway, retry=Retry(attempts=4)) as client:

        def count(name: str, version: int) -> int:
            if name not in (model.name for model in client.models()):
                raise ModelNotFound(
                    f"the gateway at {gateway} does not serve {name} and does not know its sessions: name "
                    "a gateway that does, or leave --gateway out"
                )
            return client.count_sessions(model=name, version=str(version))

        yield count


def _row(version: VersionStatus) -> tuple[str, ...]:
    record, parity = version.record, version.parity
    return (
        str(version.version),
        version.state,
        f"{version.share:.0%}" if version.share else "",
        record.published.strftime("%Y-%m-%d") if record.published.year > 1970 else "",
        record.sha256[:8],
        f"{record.size / 2**20:.1f}",
        re.sub(r"[a-z]+", "", record.precision),
        _short(parity.onnxruntime) if parity else "",
        _short(parity.triton) if parity else "",
    )


def _short(agreement: Agreement | None) -> str:
    return f"{agreement.largest:.5f}" if agreement else ""
