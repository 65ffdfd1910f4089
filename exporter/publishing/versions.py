"""The versions of a published model: listed, rolled back, put on trial, removed; each under the repository's lock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from pydantic import BaseModel, ConfigDict

from exporter.parity.report import ParityReport
from exporter.publishing.publish import sweep, switch, write_cards
from exporter.publishing.triton import Triton
from exporter.repository.config import FILE_NAME, ModelConfig
from exporter.repository.protocol import ModelRepository
from exporter.repository.record import REPLACED_FILE, Replaced, VersionRecord
from exporter.repository.view import (
    finished_versions,
    read_parity,
    read_record,
    read_replaced,
    require_config,
    require_version,
    serving_version,
)
from sixpoint.errors import FailedPrecondition, InvalidArgument
from sixpoint.model_spec import Candidate

__all__ = ["SessionCount", "VersionStatus", "list_versions", "promote", "remove", "rollback"]

SessionCount = Callable[[str, int], int]
"""How many open sessions of a gateway use a version of a model: given the model's name and the version.

Such a session shows an answer of that version, or would be given it for its next prompt.
"""


class VersionStatus(BaseModel):
    """One version, as ``exporter versions`` shows it.

    Attributes:
        version: Its number.
        state: "serving"; "candidate"; "loaded", served beside the serving one; "kept", on the disk alone; or
            "unfinished", whose publisher is at work or was killed.
        share: Of the sessions that are given it.
        record: What is kept with it.
        parity: How its forms agree; None for one that was exported, not published.
    """

    model_config = ConfigDict(frozen=True)

    version: int
    state: Literal["serving", "candidate", "loaded", "kept", "unfinished"]
    share: float
    record: VersionRecord
    parity: ParityReport | None


def list_versions(repository: ModelRepository, name: str) -> list[VersionStatus]:
    """The versions of a model, oldest first.

    Raises:
        ModelNotFound: There is no such model.
    """
    config = require_config(repository, name)
    done = finished_versions(repository, name)
    present, tried = serving_version(repository, config), config.candidate
    result = []
    for version in repository.versions(name):
        state: Literal["serving", "candidate", "loaded", "kept", "unfinished"] = "kept"
        share = 0.0
        if version not in done:
            state = "unfinished"
        elif version == present:
            state, share = "serving", 1.0 - (tried.share if tried else 0.0)
        elif tried is not None and version == int(tried.version):
            state, share = "candidate", tried.share
        elif version in _served(repository, config):
            state = "loaded"
        record, parity = read_record(repository, name, version), read_parity(repository, name, version)
        result.append(VersionStatus(version=version, state=state, share=share, record=record, parity=parity))
    return result


def rollback(
    repository: ModelRepository, name: str, *, to: int | None, triton: Triton | None, wait: float = 300.0
) -> int:
    """Let an earlier version serve again, and it alone; a trial under way ends.

    Args:
        repository: The repository.
        name: Of the model.
        to: The version; None: the one that served until the present one came to serve, by a publish or promotion; where
            nothing was kept of that, the newest one before it.
        triton: Which serves the repository; the version is tried through it, and on failure all stays as it is.
        wait: Seconds to wait for other writers.

    Returns:
        The version that serves now.

    Raises:
        NotFound: There is no such model or version.
        FailedPrecondition: There is no earlier one, the one that served is gone, or it does not answer as it did when
            it was published.
    """
    with repository.lock(wait=wait):
        sweep(repository, name)
        config = require_config(repository, name)
        present = serving_version(repository, config)
        target = require_version(repository, name, _before(repository, name, present) if to is None else to)
        _serve(repository, config, (target,), default=target, candidate=None, check=target, triton=triton)
        if to is not None and present is not None and to > present:
            # A newer one is no way back: it comes to serve in the place of the present one.
            _keep_replaced(repository, name, to, replaced=present)
    return target


def promote(
    repository: ModelRepository, name: str, version: int, *, share: float, triton: Triton | None, wait: float = 300.0
) -> None:
    """Give a share of the sessions a version; all (1), which makes it the one that serves; or none (0).

    Args:
        repository: The repository.
        name: Of the model.
        version: The candidate.
        share: Of the sessions, or of the images that are segmented, 0 to 1.
        triton: Which serves the repository; the version is tried through it, and on failure all stays as it is.
        wait: Seconds to wait for other writers.

    Raises:
        InvalidArgument: The share is none.
        NotFound: There is no such model or version.
        FailedPrecondition: It serves already; another one is on trial; it does not answer as it did.
    """
    if not 0 <= share <= 1:
        raise InvalidArgument(f"a share is between 0 and 1, got {share:g}")
    with repository.lock(wait=wait):
        sweep(repository, name)
        config = require_config(repository, name)
        require_version(repository, name, version)
        present = serving_version(repository, config)
        tried = int(config.candidate.version) if config.candidate else None
        if version == present:
            raise FailedPrecondition(f"version {version} of {name} serves already")
        if tried not in (None, version):
            raise FailedPrecondition(
                f"version {tried} of {name} is on trial: end that first (exporter promote {name} {tried} --share 0)"
            )
        if share == 0 and tried is None:
            raise FailedPrecondition(f"version {version} of {name} is not on trial")
        if present is None or (share == 1 and version < present):
            # The newest served version is the default: an older one serves alone.
            _serve(repository, config, (version,), default=version, candidate=None, check=version, triton=triton)
        elif share == 0:
            _serve(repository, config, (present,), default=present, candidate=None, check=present, triton=triton)
        elif share == 1:
            both = (present, version)
            _serve(repository, config, both, default=version, candidate=None, check=version, triton=triton)
        else:
            both = (min(present, version), max(present, version))
            candidate = Candidate(str(version), share)
            _serve(repository, config, both, default=present, candidate=candidate, check=version, triton=triton)
        if share == 1 and present is not None:
            _keep_replaced(repository, name, version, replaced=present)


def remove(
    repository: ModelRepository,
    name: str,
    version: int,
    *,
    triton: Triton | None,
    sessions: SessionCount | None = None,
    force: bool = False,
    wait: float = 300.0,
) -> None:
    """Delete a version.

    Args:
        repository: The repository.
        name: Of the model.
        version: Which one.
        triton: Which serves the repository; lets go of the version first, if it has it loaded.
        sessions: Asks a gateway how many sessions use a version; None: nobody is asked.
        force: Delete it though it is on trial, or sessions use it.
        wait: Seconds to wait for other writers.

    Raises:
        NotFound: There is no such model or version.
        FailedPrecondition: It serves; or, unless forced, it is on trial, or sessions use it.
        SixpointError: What ``sessions`` raises: an unknown number is not none.
    """
    with repository.lock(wait=wait):
        sweep(repository, name)
        config = require_config(repository, name)
        require_version(repository, name, version)
        present = serving_version(repository, config)
        if version == present:
            raise FailedPrecondition(f"version {version} of {name} serves: roll back or publish another one first")
        tried = config.candidate is not None and version == int(config.candidate.version)
        if tried and not force:
            raise FailedPrecondition(f"version {version} of {name} is on trial: end that first, or --force")
        using = sessions(name, version) if sessions is not None and not force else 0
        if using:
            some = "1 session uses" if using == 1 else f"{using} sessions use"
            raise FailedPrecondition(
                f"{some} version {version} of {name}: wait until they are closed (sixpoint sessions --model {name} "
                f"--version {version} lists yours), or --force"
            )
        if version in _served(repository, config):
            assert present is not None
            _serve(repository, config, (present,), default=present, candidate=None, check=present, triton=triton)
        repository.drop(name, version)
        write_cards(repository, require_config(repository, name))


def _before(repository: ModelRepository, name: str, present: int | None) -> int:
    """The version that served before the present one."""
    there = finished_versions(repository, name)
    replaced = None if present is None else read_replaced(repository, name, present)
    if replaced is None:
        earlier = [one for one in there if present is not None and one < present]
        if not earlier:
            raise FailedPrecondition(f"{name} has no version before the one that serves ({present})")
        return earlier[-1]
    if replaced not in there:
        others = ", ".join(str(one) for one in there if one != present) or "none"
        raise FailedPrecondition(
            f"version {replaced} of {name}, which served before version {present}, is gone: say which version is to "
            f"serve (--to); there are: {others}"
        )
    return replaced


def _keep_replaced(repository: ModelRepository, name: str, version: int, *, replaced: int) -> None:
    """Keep with a version that came to serve which one it replaced."""
    repository.write(f"{name}/{version}/{REPLACED_FILE}", Replaced(version=replaced).to_json().encode())


def _served(repository: ModelRepository, config: ModelConfig) -> tuple[int, ...]:
    return config.served or tuple(repository.versions(config.name)[-config.versions :])


def _serve(
    repository: ModelRepository,
    config: ModelConfig,
    served: tuple[int, ...],
    *,
    default: int,
    candidate: Candidate | None,
    check: int,
    triton: Triton | None,
) -> None:
    """Put the config in place that serves these versions, with the spec of the default one."""
    spec = read_record(repository, config.name, default).spec
    changed = replace(config, served=served, candidate=candidate, spec=spec)
    if changed.to_text().encode() != repository.read(f"{config.name}/{FILE_NAME}") or triton is not None:
        switch(repository, [changed], check=check, triton=triton)
    write_cards(repository, changed)
