"""``exporter versions``, ``rollback``, ``promote``, ``remove``, ``diff``."""

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
from exporter.cli.options import AsJson, Repository, TritonAddress, TritonTimeout, Wait
from sixpoint.errors import InvalidArgument, ModelNotFound

if TYPE_CHECKING:
    from exporter.parity.report import Agreement
    from exporter.publishing.triton import Triton
    from exporter.publishing.versions import SessionCount, VersionStatus
    from exporter.repository.protocol import ModelRepository

__all__ = ["EPILOGS", "diff", "promote", "remove", "rollback", "versions"]

EPILOGS = {
    "versions": "Example: exporter versions liver --json",
    "rollback": "Example: exporter rollback liver --to 3 --triton 127.0.0.1:8001",
    "promote": """\b
Examples:
  exporter promote liver 4 --share 0.1 --triton 127.0.0.1:8001   a tenth of the sessions is given version 4
  exporter promote liver 4 --share 1 --triton 127.0.0.1:8001     all of them: version 4 serves
  exporter promote liver 4 --share 0 --triton 127.0.0.1:8001     none: the trial ends""",
    "remove": "Example: exporter remove liver 2 --triton 127.0.0.1:8001 --gateway 127.0.0.1:50051",
    "diff": "Example: exporter diff liver 3 4 --image ct.nii.gz",
}

Name = Annotated[str, typer.Argument(help="The model.")]
Number = Annotated[int, typer.Argument(min=1, help="The version.")]


def versions(name: Name, repository: Repository = "model_repository", as_json: AsJson = False) -> None:
    """List a model's versions: which serves, which is on trial, how each was proven."""
    with _opened(repository) as (models, _):
        from exporter.publishing.versions import list_versions

        found = list_versions(models, name)
        if as_json:
            out.print_json(json.dumps([one.model_dump(mode="json") for one in found]))
            return
        table = Table(box=None, pad_edge=False)
        for heading in ("version", "state", "share", "published", "SHA-256", "MiB", "bits", "parity", "Triton"):
            table.add_column(heading, no_wrap=True)
        for one in found:
            table.add_row(*map(escape, _row(one)))
        out.print(table)


def rollback(
    name: Name,
    to: Annotated[
        int | None, typer.Option(min=1, help="The version.", show_default="the one before that which serves")
    ] = None,
    repository: Repository = "model_repository",
    triton: TritonAddress = None,
    timeout: TritonTimeout = 120.0,
    wait: Wait = 300.0,
) -> None:
    """Let an earlier version serve again, once Triton has it loaded and it answers as it did."""
    with _opened(repository, triton, timeout) as (models, server):
        from exporter.publishing.versions import rollback as back

        version = back(models, name, to=to, triton=server, wait=wait)
        out.print(f"{name} version {version} serves")


def promote(
    name: Name,
    version: Number,
    share: Annotated[float, typer.Option(help="Of the sessions: 0 to 1; 1 makes the version the one that serves.")],
    repository: Repository = "model_repository",
    triton: TritonAddress = None,
    timeout: TritonTimeout = 120.0,
    wait: Wait = 300.0,
) -> None:
    """Give a share of the sessions (or images, if it needs no clicks) a version; each keeps it on every gateway."""
    with _opened(repository, triton, timeout) as (models, server):
        from exporter.publishing.versions import promote as give

        give(models, name, version, share=share, triton=server, wait=wait)
        states = {1.0: "serves", 0.0: "is not on trial any more"}
        out.print(f"{name} version {version} {states.get(share, f'is on trial for {share:.0%} of the sessions')}")


def remove(
    name: Name,
    version: Number,
    force: Annotated[bool, typer.Option("--force", help="Though it is on trial, or sessions use it.")] = False,
    repository: Repository = "model_repository",
    triton: TritonAddress = None,
    gateway: Annotated[
        str | None,
        typer.Option(
            help="A gateway, asked whether sessions use the version.",
            metavar="HOST:PORT",
            show_default="none: it is removed though sessions may show its answers",
        ),
    ] = None,
    timeout: TritonTimeout = 120.0,
    wait: Wait = 300.0,
) -> None:
    """Delete a version that does not serve."""
    with _opened(repository, triton, timeout) as (models, server):
        from exporter.publishing.versions import remove as delete

        with _sessions_of(gateway) as sessions:
            delete(models, name, version, triton=server, sessions=sessions, force=force, wait=wait)
        out.print(f"{name} version {version} is removed")


def diff(
    name: Name,
    first: Annotated[int, typer.Argument(min=1, help="A version.")],
    second: Annotated[int, typer.Argument(min=1, help="Another one.")],
    repository: Repository = "model_repository",
    image: Annotated[
        Path | None, typer.Option(help="An image that both are asked about.", show_default="a phantom")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare two versions: description, figures, file, and their answers to the same inputs."""
    with _opened(repository) as (models, _):
        from exporter.publishing.diff import diff
        from sixpoint.volume import Volume

        found = diff(models, name, first, second, image=Volume.read(image) if image else None)
        if as_json:
            content = {**asdict(found), "answers": found.answers.model_dump()}
            out.print_json(json.dumps(content))
            return
        table = Table("", f"version {first}", f"version {second}")
        for field, values in found.fields.items():
            table.add_row(field, *("" if value is None else escape(str(value)) for value in values))
        out.print(table)
        largest, dice = found.answers.largest, found.answers.dice
        out.print(f"answers ({found.sample}): largest difference {largest:.5f} of a probability, Dice {dice:.4f}")


@contextlib.contextmanager
def _opened(
    repository: str, triton: str | None = None, timeout: float = 120.0
) -> Iterator[tuple[ModelRepository, Triton | None]]:
    with clear_errors(), contextlib.ExitStack() as stack:
        from exporter.publishing.triton import Triton
        from exporter.repository.open import open_repository

        server = stack.enter_context(Triton(triton, timeout=timeout)) if triton else None
        yield open_repository(repository), server


@contextlib.contextmanager
def _sessions_of(gateway: str | None) -> Iterator[SessionCount | None]:
    """How to ask a gateway how many sessions use a version; None when there is no gateway to ask.

    Raises:
        InvalidArgument: Its address is none.
    """
    if gateway is None:
        yield None
        return
    if not gateway.rpartition(":")[2].isdecimal():
        raise InvalidArgument(f"the gateway's address must be host:port, got {gateway!r}")
    from sixpoint.client import Client, Retry

    with Client(gateway, retry=Retry(attempts=4)) as client:

        def count(name: str, version: int) -> int:
            if name not in (one.name for one in client.models()):
                raise ModelNotFound(
                    f"the gateway at {gateway} does not serve {name}, so that it cannot say which sessions use it: "
                    "name one that does, or leave --gateway out"
                )
            return client.count_sessions(model=name, version=str(version))

        yield count


def _row(one: VersionStatus) -> tuple[str, ...]:
    record, parity = one.record, one.parity
    return (
        str(one.version),
        one.state,
        f"{one.share:.0%}" if one.share else "",
        record.published.strftime("%Y-%m-%d") if record.published.year > 1970 else "",
        record.sha256[:8],
        f"{record.size / 2**20:.1f}",
        re.sub(r"[a-z]+", "", record.precision),
        _short(parity.onnxruntime) if parity else "",
        _short(parity.triton) if parity else "",
    )


def _short(found: Agreement | None) -> str:
    return f"{found.largest:.5f}" if found else ""
