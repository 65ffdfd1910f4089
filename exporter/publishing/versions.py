"""Roll back, promote and remove the versions of a published model; changes hold the repository's lock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from exporter.publishing.cards import write_cards
from exporter.publishing.figures import FigureComparison, compare_figures, require_as_good
from exporter.publishing.recovery import sweep
from exporter.publishing.switch import switch
from exporter.publishing.triton import Triton
from exporter.repository.config import FILE_NAME, ModelConfig
from exporter.repository.protocol import ModelRepository
from exporter.repository.record import RECORD_FILE, REPLACED_FILE, Replaced
from exporter.repository.view import (
    finished_versions,
    read_record,
    read_replaced,
    require_config,
    require_version,
    served_versions,
    serving_version,
)
from sixpoint.environment import repository_option
from sixpoint.errors import FailedPrecondition, InvalidArgument
from sixpoint.model_spec import Candidate

__all__ = ["SessionCount", "Switched", "promote", "remove", "rollback", "show_to"]

SessionCount = Callable[[str, int], int]
"""Function that returns how many open sessions of a gateway use a version, given the model's name and the version.

Such a session shows an answer of that version, or will get it for its next prompt.
"""


@dataclass(frozen=True)
class Switched:
    """A version whose share of sessions was changed.

    Attributes:
        version: Its number.
        figures: Its figures beside those of the version that served before; None: there was none, or it is the same.
    """

    version: int
    figures: FigureComparison | None


def rollback(
    repository: ModelRepository, name: str, *, to: int | None, triton: Triton | None, wait: float = 300.0
) -> Switched:
    """Let an earlier version serve again, alone; a trial under way ends. It may be worse: the way back is on purpose.

    Args:
        repository: The repository.
        name: Name of the model.
        to: Number of the version; None: the one that served before the present one, or the newest earlier one if that
            was not recorded.
        triton: The Triton that serves the repository and verifies the version; on failure nothing changes.
        wait: Seconds to wait for other writers.

    Returns:
        The version that serves now.

    Raises:
        NotFound: The model or the version does not exist.
        FailedPrecondition: There is no earlier version, the one that served before was removed, or it does not answer
            as it did when it was published.
    """
    with repository.lock(wait=wait):
        sweep(repository, name)
        config = require_config(repository, name)
        present = serving_version(repository, config)
        target = require_version(repository, name, _previous_version(repository, name, present) if to is None else to)
        figures = _compare(repository, config, target, present)
        _serve(repository, config, (target,), default=target, candidate=None, check=target, triton=triton)
        if to is not None and present is not None and to > present:
            # Going forward is not a way back: a later rollback must return to the present version.
            _record_replaced(repository, name, to, replaced=present)
    return Switched(target, figures)


def promote(
    repository: ModelRepository,
    name: str,
    version: int,
    *,
    share: float,
    triton: Triton | None,
    force: bool = False,
    wait: float = 300.0,
) -> Switched:
    """Give a version to a share of sessions: all (1), which makes it the serving version, or none (0).

    Args:
        repository: The repository.
        name: Name of the model.
        version: Number of the version.
        share: Share of sessions, or of images for a segmentation model, 0 to 1.
        triton: The Triton that serves the repository and verifies the version; on failure nothing changes.
        force: Whether to give more sessions to a version whose figures are worse than those of the serving version.
        wait: Seconds to wait for other writers.

    Raises:
        InvalidArgument: The share is not between 0 and 1.
        NotFound: The model or the version does not exist.
        FailedPrecondition: The version serves already, another version is on trial, or it is worse than the serving
            one, or does not answer as it did when it was published.
    """
    if not 0 <= share <= 1:
        raise InvalidArgument(f"the share must be between 0 and 1, got {share:g}")
    with repository.lock(wait=wait):
        sweep(repository, name)
        config = require_config(repository, name)
        require_version(repository, name, version)
        present = serving_version(repository, config)
        candidate = int(config.candidate.version) if config.candidate else None
        if version == present:
            raise FailedPrecondition(f"version {version} of {name} serves already")
        if candidate not in (None, version):
            raise FailedPrecondition(
                f"version {candidate} of {name} is on trial: end the trial first "
                f"(exporter promote {name} {candidate} --share 0{repository_option(repository.address)})"
            )
        if share == 0 and candidate is None:
            raise FailedPrecondition(f"version {version} of {name} is not on trial")
        figures = _compare(repository, config, version, present)
        if figures is not None and share > (config.candidate.share if config.candidate else 0):
            require_as_good(figures, name=name, force=force)
        _serve_share(repository, config, version, present=present, share=share, triton=triton)
        if share == 1 and present is not None:
            _record_replaced(repository, name, version, replaced=present)
    return Switched(version, figures)


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
        name: Name of the model.
        version: Number of the version.
        triton: The Triton that serves the repository; unloads the version first if necessary.
        sessions: Function that asks a gateway how many sessions use a version; None: no gateway is asked.
        force: Whether to delete a version that is on trial or that sessions use.
        wait: Seconds to wait for other writers.

    Raises:
        NotFound: The model or the version does not exist.
        FailedPrecondition: The version serves; or, unless forced, is on trial or used by sessions.
        SixpointError: ``sessions`` raised it; the version is not removed while its sessions are unknown.
    """
    with repository.lock(wait=wait):
        sweep(repository, name)
        config = require_config(repository, name)
        require_version(repository, name, version)
        present = serving_version(repository, config)
        if version == present:
            raise FailedPrecondition(f"version {version} of {name} serves: roll back or publish another version first")
        on_trial = config.candidate is not None and version == int(config.candidate.version)
        if on_trial and not force:
            raise FailedPrecondition(f"version {version} of {name} is on trial: end the trial first, or use --force")
        using = sessions(name, version) if sessions is not None and not force else 0
        if using:
            users = "1 session uses" if using == 1 else f"{using} sessions use"
            raise FailedPrecondition(
                f"{users} version {version} of {name}: wait until they are closed (sixpoint sessions --model {name} "
                f"--version {version} lists yours), or use --force"
            )
        if version in served_versions(repository, config):
            assert present is not None
            _serve(repository, config, (present,), default=present, candidate=None, check=present, triton=triton)
        repository.drop(name, version)
        write_cards(repository, require_config(repository, name))


def show_to(
    repository: ModelRepository,
    name: str,
    tenants: frozenset[str] | None,
    *,
    triton: Triton | None,
    wait: float = 300.0,
) -> None:
    """Show all versions of a model to some tenants of the gateways only; None: to all.

    Raises:
        NotFound: The model does not exist.
        FailedPrecondition: No version of it serves.
    """
    with repository.lock(wait=wait):
        sweep(repository, name)
        config = require_config(repository, name)
        present = serving_version(repository, config)
        if present is None:
            raise FailedPrecondition(f"no version of {name} serves in {repository.address}: publish one first")
        switch(repository, [replace(config, tenants=tenants)], check=present, triton=triton)


def _compare(
    repository: ModelRepository, config: ModelConfig, version: int, present: int | None
) -> FigureComparison | None:
    """Compare the figures of a version with those of the serving one."""
    if present is None or version == present:
        return None
    assert config.spec is not None  # of the serving version
    new = read_record(repository, config.name, version).spec
    if repository.read(f"{config.name}/{version}/{RECORD_FILE}") is None:
        # Such a version has no spec of its own, and was not measured.
        new = new.model_copy(update={"metrics": {}})
    return compare_figures(new, config.spec, serving=present)


def _serve_share(
    repository: ModelRepository,
    config: ModelConfig,
    version: int,
    *,
    present: int | None,
    share: float,
    triton: Triton | None,
) -> None:
    """Write the config that gives a version a share of the sessions, and the others to the present version."""
    if present is None or (share == 1 and version < present):
        # Triton's default is the newest version that it serves: an older one must serve alone.
        _serve(repository, config, (version,), default=version, candidate=None, check=version, triton=triton)
    elif share == 0:
        _serve(repository, config, (present,), default=present, candidate=None, check=present, triton=triton)
    elif share == 1:
        _serve(repository, config, (present, version), default=version, candidate=None, check=version, triton=triton)
    else:
        served = (min(present, version), max(present, version))
        trial = Candidate(str(version), share)
        _serve(repository, config, served, default=present, candidate=trial, check=version, triton=triton)


def _previous_version(repository: ModelRepository, name: str, present: int | None) -> int:
    """Return the version that served before the present one."""
    finished = finished_versions(repository, name)
    replaced = None if present is None else read_replaced(repository, name, present)
    if replaced is None:
        earlier = [version for version in finished if present is not None and version < present]
        if not earlier:
            raise FailedPrecondition(
                f"{name} has no version before the one that serves ({present}) in {repository.address}"
            )
        return earlier[-1]
    if replaced not in finished:
        others = ", ".join(str(version) for version in finished if version != present) or "none"
        raise FailedPrecondition(
            f"version {replaced} of {name}, which served before version {present}, was removed: name the version to "
            f"serve with --to, one of: {others}"
        )
    return replaced


def _record_replaced(repository: ModelRepository, name: str, version: int, *, replaced: int) -> None:
    """Record with a version that came to serve which version it replaced."""
    repository.write(f"{name}/{version}/{REPLACED_FILE}", Replaced(version=replaced).to_json().encode())


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
    """Write the config that serves these versions.

    Args:
        repository: The repository.
        config: Present config of the model.
        served: Versions to serve.
        default: Version that most sessions get; its spec goes into the config.
        candidate: Version on trial and its share; None: no trial.
        check: Version to verify in Triton.
        triton: The Triton that serves the repository; None: no Triton is asked.
    """
    spec = read_record(repository, config.name, default).spec
    changed = replace(config, served=served, candidate=candidate, spec=spec)
    if changed.to_text().encode() != repository.read(f"{config.name}/{FILE_NAME}") or triton is not None:
        switch(repository, [changed], check=check, triton=triton)
    write_cards(repository, changed)
