"""Publish a version beside the one that serves, verify it in Triton, and only then give it to sessions.

Triton loads what a config names before it unloads what the previous config named, and keeps what it has when loading
fails. So a version serves at every moment. The publisher may be killed after each of these steps:

1. The version's folder appears, marked as unfinished. No config names it.
2. The config names the serving version and the new one, the latter as a candidate for no session.
3. Triton loads both, and its answers to the version's parity inputs are compared with the expected ones.
4. The config gives sessions the new version; the old one stays loaded for requests that are under way.
5. The mark is deleted. The next writer removes a version that still has it and serves nobody.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from exporter.graph.model_files import model_files, sha256_of_files
from exporter.parity.report import ParityReport
from exporter.parity.speed import Speed, measure_speed, require_as_fast
from exporter.publishing.cards import write_cards
from exporter.publishing.figures import FigureComparison, compare_figures, require_as_good
from exporter.publishing.prepared import PreparedModel
from exporter.publishing.recovery import sweep
from exporter.publishing.switch import switch
from exporter.publishing.triton import Triton
from exporter.repository.config import FILE_NAME, ExecutionConfig, ModelConfig
from exporter.repository.layout import check_model_name, require_same_interface
from exporter.repository.protocol import UNFINISHED, Content, ModelRepository
from exporter.repository.record import (
    PARITY_FILE,
    PARITY_INPUTS_FILE,
    RECORD_FILE,
    REPLACED_FILE,
    Replaced,
    VersionRecord,
)
from exporter.repository.view import read_config, serving_version
from sixpoint.environment import repository_option
from sixpoint.errors import FailedPrecondition
from sixpoint.model_spec import Candidate

__all__ = ["Published", "check_share", "publish"]


@dataclass(frozen=True)
class Published:
    """A version that was published.

    Attributes:
        version: Its number.
        parity: Parity report stored with it.
        figures: Its figures beside those of the version that served; None: there was none.
        speed: Its time beside that of the version that served; None: it was not measured.
    """

    version: int
    parity: ParityReport
    figures: FigureComparison | None
    speed: Speed | None = None


def publish(
    repository: ModelRepository,
    prepared: PreparedModel,
    *,
    triton: Triton | None,
    share: float = 1.0,
    force: bool = False,
    wait: float = 300.0,
    replaces: int | None = None,
    max_slowdown: float | None = None,
) -> Published:
    """Publish a version. On any failure the previous version goes on serving, and the new one is removed.

    Args:
        repository: The repository to publish to.
        prepared: The model.
        triton: The Triton that serves the repository; None: a Triton that is started or reloaded later serves the
            version without verification.
        share: Share of sessions that get the new version; below 1 it is a candidate beside the serving version.
        force: Whether to publish a version whose figures are worse than those of the serving version.
        wait: Seconds to wait for other writers.
        replaces: Version that must serve; 0: none may. None: any may.
        max_slowdown: Factor by which the time in Triton may grow beyond that of the serving version. None: it is not
            measured, nor is it without Triton, or where no version serves.

    Raises:
        InvalidArgument: The name is not a valid model name.
        FailedPrecondition: Older versions have other tensors; a candidate is on trial; the version is worse than the
            serving one, or is to share sessions with none; another version serves than ``replaces``; or Triton cannot
            load it, takes too long, or its answers differ too much.
        TritonUnavailable: Triton cannot be reached.
    """
    config = prepared.config
    check_model_name(config.name)
    with repository.lock(wait=wait):
        sweep(repository, config.name)
        old = read_config(repository, config.name)
        present = None
        if old is not None:
            _check_publishable(old, config, address=repository.address)
            present = serving_version(repository, old)
            config = replace(_inherit_execution(config, old), tenants=old.tenants)
        _check_replaced(config.name, replaces, present)
        check_share(repository, config.name, share, present=present)
        figures = _compare(config, old, present)
        if figures is not None and share > 0:
            require_as_good(figures, name=config.name, force=force)
        if old is not None:
            _pin_served(repository, config.name, old)
        # Not a number that Triton has already seen: its clients would take one version for another.
        numbers = [*repository.versions(config.name), *(triton.version_states(config.name) if triton else ())]
        version = max(numbers, default=0) + 1
        on_trial = present is not None and share < 1
        served = (version,) if present is None else (present, version)
        trial = replace(config, served=served, candidate=Candidate(str(version), 0.0))
        if on_trial and old is not None:
            # The config's spec is that of the version which most sessions get.
            trial = replace(trial, spec=old.spec)
        final = replace(trial, candidate=Candidate(str(version), share) if on_trial else None)
        _add_version(repository, prepared, version, trial, new=old is None, replaced=None if on_trial else present)
        speed: Speed | None = None

        def check_speed() -> None:
            nonlocal speed
            if triton is None or old is None or present is None or max_slowdown is None:
                return
            speed = _measure_speed(triton, config, version, serving=(present, old))
            require_as_fast(speed, name=config.name, serving=present, max_slowdown=max_slowdown)

        report = switch(
            repository,
            [trial, final],
            check=version,
            triton=triton,
            new=old is None,
            added=version,
            on_loaded=check_speed,
        )
        repository.delete(f"{config.name}/{version}/{UNFINISHED}")
        write_cards(repository, final)
    return Published(version, report or prepared.parity, figures, speed)


def check_share(repository: ModelRepository, name: str, share: float, *, present: int | None) -> None:
    """Refuse a trial of a first version, which would get all sessions, since there is no other.

    Args:
        repository: The repository.
        name: Name of the model.
        share: Share of sessions that the new version is to get.
        present: Version that serves now; None: no version does.

    Raises:
        FailedPrecondition: The share is below 1, and no version serves.
    """
    if share < 1 and present is None:
        raise FailedPrecondition(
            f"no version of {name} serves in {repository.address}, so that a first one would get all sessions, not "
            f"{share:.0%}: publish it without --share, or under the --name of a model that serves"
        )


def _check_replaced(name: str, wanted: int | None, present: int | None) -> None:
    if wanted is not None and wanted != (present or 0):
        raise FailedPrecondition(
            f"{f'version {present}' if present else 'no version'} of {name} serves now, expected "
            f"{f'version {wanted}' if wanted else 'none'} (--replaces): compare the new one with what serves, and "
            "publish again"
        )


def _measure_speed(triton: Triton, config: ModelConfig, version: int, *, serving: tuple[int, ModelConfig]) -> Speed:
    """Measure a version and the one that serves, which Triton has both loaded."""
    present, old = serving
    assert config.spec is not None
    zeros = np.zeros((1, *config.spec.input_shape), np.float16 if config.spec.input.dtype == "FP16" else np.float32)
    return measure_speed(
        lambda: triton.infer(config, version, zeros),
        lambda: triton.infer(config, present, zeros),
        specs=(config.spec, old.spec or config.spec),
    )


def _compare(new: ModelConfig, old: ModelConfig | None, present: int | None) -> FigureComparison | None:
    """Compare the figures of a new version with those of the serving one; its spec is the config's."""
    if old is None or old.spec is None or new.spec is None or present is None:
        return None
    return compare_figures(new.spec, old.spec, serving=present)


def _check_publishable(old: ModelConfig, new: ModelConfig, *, address: str) -> None:
    require_same_interface(old, new)
    if old.candidate is not None:
        raise FailedPrecondition(
            f"version {old.candidate.version} of {new.name} is on trial: end the trial first "
            f"(exporter promote {new.name} {old.candidate.version} --share 0{repository_option(address)}), or give it "
            "all sessions (--share 1)"
        )


def _inherit_execution(config: ModelConfig, old: ModelConfig) -> ModelConfig:
    """Keep the batching and instances that older versions were tuned to, unless the new config has its own."""
    if config.execution != ExecutionConfig():
        return config
    # Triton refuses a preferred batch size above the largest batch.
    fitting = tuple(size for size in old.execution.preferred if size <= config.max_batch_size)
    return replace(config, execution=replace(old.execution, preferred=fitting))


def _pin_served(repository: ModelRepository, name: str, old: ModelConfig) -> None:
    """Have a config that serves the newest versions name them: a Triton that polls would load a new one unverified."""
    if not old.served:
        # By the folder's name: a config need not name its model.
        pinned = tuple(repository.versions(name)[-old.versions :])
        repository.write(f"{name}/{FILE_NAME}", replace(old, served=pinned).to_text().encode())


def _add_version(
    repository: ModelRepository,
    prepared: PreparedModel,
    version: int,
    config: ModelConfig,
    *,
    new: bool,
    replaced: int | None,
) -> None:
    """Write a version's files, marked as unfinished.

    Args:
        repository: The repository.
        prepared: The model.
        version: Number of the version.
        config: Config of the model; written only if it is new.
        new: Whether the model is new to the repository.
        replaced: Version that the new one replaces; None if there is none.
    """
    assert prepared.config.spec is not None
    model = model_files(prepared.model)
    record = VersionRecord(
        published=datetime.now(UTC),
        sha256=sha256_of_files(model),
        size=sum(file.stat().st_size for file in model),
        precision=prepared.precision,
        tools=dict(prepared.tools),
        engine=prepared.engine,
        spec=prepared.config.spec,
    )
    files: dict[str, Content] = {
        **{file.name: file for file in model},
        RECORD_FILE: record.to_json().encode(),
        PARITY_FILE: prepared.parity.to_json().encode(),
        PARITY_INPUTS_FILE: prepared.inputs.to_npz(prepared.expected),
        UNFINISHED: b"",
    }
    if replaced is not None:
        files[REPLACED_FILE] = Replaced(version=replaced).to_json().encode()
    if not new:
        repository.add(config.name, version, files)
        return
    whole: dict[str, Content] = {f"{version}/{path}": content for path, content in files.items()}
    repository.create(config.name, {**whole, FILE_NAME: config.to_text().encode()})
