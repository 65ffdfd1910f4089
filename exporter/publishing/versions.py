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
from exporter.repository.protocol import Registry
from exporter.repository.record import REPLACED_FILE, Replaced, VersionRecord
from exporter.repository.view import (
    finished,
    need_config,
    need_version,
    read_parity,
    read_record,
    read_replaced,
    serving,
)
from sixpoint.errors import FailedPrecondition, InvalidArgument
from sixpoint.model_spec.rollout import Candidate

__all__ = ["SessionCount", "Version", "list_versions", "promote", "remove", "rollback"]

SessionCount = Callable[[str, int], int]
"""How many open sessions of a gateway use a version of a model: given the model's name and the version.

Such a session shows an answer of that version, or would be given it for its next prompt.
"""


class Version(BaseModel):
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


def list_versions(registry: Registry, name: str) -> list[Version]:
    """The versions of a model, oldest first.

    Raises:
        ModelNotFound: There is no such model.
    """
    config = need_config(registry, name)
    done = finished(registry, name)
    present, tried = serving(registry, config), config.candidate
    result = []
    for version in registry.versions(name):
        state: Literal["serving", "candidate", "loaded", "kept", "unfinished"] = "kept"
        share = 0.0
        if version not in done:
            state = "unfinished"
        elif version == present:
            state, share = "serving", 1.0 - (tried.share if tried else 0.0)
        elif tried is not None and version == int(tried.version):
            state, share = "candidate", tried.share
        elif version in _served(registry, config):
            state = "loaded"
        record, parity = read_record(registry, name, version), read_parity(registry, name, version)
        result.append(Version(version=version, state=state, share=share, record=record, parity=parity))
    return result


def rollback(registry: Registry, name: str, *, to: int | None, triton: Triton | None, wait: float = 300.0) -> int:
    """Let an earlier version serve again, and it alone; a trial under way ends.

    Args:
        registry: The repository.
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
    with registry.lock(wait=wait):
        sweep(registry, name)
        config = need_config(registry, name)
        present = serving(registry, config)
        target = need_version(registry, name, _before(registry, name, present) if to is None else to)
        _serve(registry, config, (target,), default=target, candidate=None, check=target, triton=triton)
        if to is not None and present is not None and to > present:
            # A newer one is no way back: it comes to serve in the place of the present one.
            _keep_replaced(registry, name, to, replaced=present)
    return target


def promote(
    registry: Registry, name: str, version: int, *, share: float, triton: Triton | None, wait: float = 300.0
) -> None:
    """Give a share of the sessions a version; all (1), which makes it the one that serves; or none (0).

    Args:
        registry: The repository.
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
    with registry.lock(wait=wait):
        sweep(registry, name)
        config = need_config(registry, name)
        need_version(registry, name, version)
        present = serving(registry, config)
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
            _serve(registry, config, (version,), default=version, candidate=None, check=version, triton=triton)
        elif share == 0:
            _serve(registry, config, (present,), default=present, candidate=None, check=present, triton=triton)
        elif share == 1:
            both = (present, version)
            _serve(registry, config, both, default=version, candidate=None, check=version, triton=triton)
        else:
            both = (min(present, version), max(present, version))
            candidate = Candidate(str(version), share)
            _serve(registry, config, both, default=present, candidate=candidate, check=version, triton=triton)
        if share == 1 and present is not None:
            _keep_replaced(registry, name, version, replaced=present)


def remove(
    registry: Registry,
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
        registry: The repository.
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
    with registry.lock(wait=wait):
        sweep(registry, name)
        config = need_config(registry, name)
        need_version(registry, name, version)
        present = serving(registry, config)
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
        if version in _served(registry, config):
            assert present is not None
            _serve(registry, config, (present,), default=present, candidate=None, check=present, triton=triton)
        registry.drop(name, version)
        write_cards(registry, need_config(registry, name))


def _before(registry: Registry, name: str, present: int | None) -> int:
    """The version that served before the present one."""
    there = finished(registry, name)
    replaced = None if present is None else read_replaced(registry, name, present)
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


def _keep_replaced(registry: Registry, name: str, version: int, *, replaced: int) -> None:
    """Keep with a version that came to serve which one it replaced."""
    registry.write(f"{name}/{version}/{REPLACED_FILE}", Replaced(version=replaced).to_json().encode())


def _served(registry: Registry, config: ModelConfig) -> tuple[int, ...]:
    return config.served or tuple(registry.versions(config.name)[-config.versions :])


def _serve(
    registry: Registry,
    config: ModelConfig,
    served: tuple[int, ...],
    *,
    default: int,
    candidate: Candidate | None,
    check: int,
    triton: Triton | None,
) -> None:
    """Put the config in place that serves these versions, with the spec of the default one."""
    spec = read_record(registry, config.name, default).spec
    changed = replace(config, served=served, candidate=candidate, spec=spec)
    if changed.to_text().encode() != registry.read(f"{config.name}/{FILE_NAME}") or triton is not None:
        switch(registry, [changed], check=check, triton=triton)
    write_cards(registry, changed)
