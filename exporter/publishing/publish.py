"""Publishing: a new version beside the one that serves, tried through Triton, and only then given to anybody.

Triton loads what a config names before it lets go of what the old config named, and when it cannot load, it keeps what
it has; so there is always a version that serves. Steps, each of which may be the last one of a process that is killed:

1. The version's folder appears, marked as unfinished. No config names it.
2. The config names the serving version and the new one, the latter as a candidate for no session.
3. Triton loads both, and the parity sample that lies with the version is answered through Triton.
4. The config gives the sessions the new version; the old one stays loaded for those who are about to ask it.
5. The mark goes. A version that still has it, and that the config gives to nobody, is swept by the next writer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from exporter.graph.external_data import model_files, sha256_of_files
from exporter.parity.inputs import ParityInputs
from exporter.parity.report import ParityReport, agreement, require
from exporter.publishing.triton import Triton
from exporter.repository.card import CARD, CARD_JSON, VersionFacts, render_card, render_card_json
from exporter.repository.config import FILE_NAME, ExecutionConfig, ModelConfig
from exporter.repository.layout import check_model_name, require_same_interface
from exporter.repository.protocol import UNFINISHED, Content, ModelRepository
from exporter.repository.record import (
    PARITY_FILE,
    PARITY_INPUTS_FILE,
    RECORD_FILE,
    REPLACED_FILE,
    Replaced,
    TensorRtEngine,
    VersionRecord,
)
from exporter.repository.view import read_config, read_parity, read_record, serving_version
from sixpoint.errors import FailedPrecondition, SixpointError
from sixpoint.model_spec import Candidate

__all__ = ["PreparedModel", "Published", "publish", "sweep", "switch", "verify_in_triton", "write_cards"]


@dataclass(frozen=True, eq=False)
class PreparedModel:
    """What is to be published.

    Attributes:
        model: The ONNX file, ``model.onnx``; beside it perhaps the file with its weights. Or the plan, ``model.plan``.
        config: Of the model; which versions are served is not its business.
        sample: What its forms were compared on.
        expected: The reference's answers to it [batch, label, z, y, x].
        parity: How they compare.
        tools: Versions of what made it, by name.
        precision: In what the network computes: "fp32", "fp16" or "int8".
        notes: What the gateway does otherwise than the model's source; or which version of an exported model it is.
        engine: What the plan was built with; None: it is an ONNX file.
    """

    model: Path
    config: ModelConfig
    inputs: ParityInputs
    expected: np.ndarray
    parity: ParityReport
    tools: Mapping[str, str]
    precision: str = "fp32"
    notes: tuple[str, ...] = ()
    engine: TensorRtEngine | None = None


@dataclass(frozen=True)
class Published:
    """What was published: the version, and the report that is kept with it."""

    version: int
    parity: ParityReport


def publish(
    repository: ModelRepository,
    prepared: PreparedModel,
    *,
    triton: Triton | None,
    share: float = 1.0,
    wait: float = 300.0,
) -> Published:
    """Publish a version; on any failure the old one goes on serving, and the new one is gone.

    Args:
        repository: Where to.
        prepared: The model to publish.
        triton: Which serves the repository; None: it serves the version when it is started or asked to load it.
        share: Of the sessions that are given the new version; below 1 it is a candidate beside the one that serves.
        wait: Seconds to wait for other writers.

    Raises:
        InvalidArgument: The name cannot be a model's.
        FailedPrecondition: Older versions have other tensors; a candidate is on trial; Triton cannot load the version,
            or answers otherwise than the reference.
        TritonUnavailable: Triton cannot be reached.
    """
    config = prepared.config
    check_model_name(config.name)
    with repository.lock(wait=wait):
        sweep(repository, config.name)
        old = read_config(repository, config.name)
        present = None
        if old is not None:
            require_same_interface(old, config)
            if old.candidate is not None:
                raise FailedPrecondition(
                    f"version {old.candidate.version} of {config.name} is on trial: end that first "
                    f"(exporter promote {config.name} {old.candidate.version} --share 1, or 0)"
                )
            present = serving_version(repository, old)
            if config.execution == ExecutionConfig():
                # Triton refuses to wait for a batch that is larger than the largest.
                fitting = tuple(size for size in old.execution.preferred if size <= config.max_batch_size)
                config = replace(config, execution=replace(old.execution, preferred=fitting))
            if not old.served:
                # It asks for the newest versions: a Triton that polls would load the new folder untried.
                pinned = tuple(repository.versions(config.name)[-old.versions :])
                repository.write(f"{config.name}/{FILE_NAME}", replace(old, served=pinned).to_text().encode())
        # A number that Triton has seen is not given again, so that nobody takes one version for another.
        seen = [*repository.versions(config.name), *(triton.version_states(config.name) if triton else ())]
        version = max(seen, default=0) + 1
        served = (version,) if present is None else (present, version)
        trial = replace(config, served=served, candidate=Candidate(str(version), 0.0))
        on_trial = present is not None and share < 1
        final = replace(trial, candidate=Candidate(str(version), share) if on_trial else None)
        if on_trial and old is not None:
            # The spec in the config is that of the version which most sessions are given.
            final, trial = replace(final, spec=old.spec), replace(trial, spec=old.spec)
        replaced = None if on_trial else present
        _place(repository, prepared, version, trial, new=old is None, replaced=replaced)
        report = switch(repository, [trial, final], check=version, triton=triton, new=old is None, added=version)
        repository.delete(f"{config.name}/{version}/{UNFINISHED}")
        write_cards(repository, final)
    return Published(version, report or prepared.parity)


def switch(
    repository: ModelRepository,
    configs: list[ModelConfig],
    *,
    check: int,
    triton: Triton | None,
    new: bool = False,
    added: int | None = None,
) -> ParityReport | None:
    """Put configs in place one after the other, and have Triton follow; under the repository's lock.

    On any failure the config that was there is there again, and Triton serves what it says.

    Args:
        repository: The repository.
        configs: In their order; after the first the version ``check`` is tried. Without Triton only the last is put.
        check: The version that must answer.
        triton: Which serves the repository.
        new: Whether the model was made just now, and is to go on failure.
        added: The version that was made just now, and is to go on failure.

    Returns:
        The parity report, with what Triton answered; None where there is no Triton, or the version has no sample.
    """
    name = configs[0].name
    path = f"{name}/{FILE_NAME}"
    before = repository.read(path)
    report = None
    try:
        for index, config in enumerate(configs if triton else configs[-1:]):
            repository.write(path, config.to_text().encode())
            if triton is None:
                continue
            triton.load(config)
            if index == 0:
                report = verify_in_triton(repository, config, check, triton)
    except BaseException:
        if before is not None and not new:
            repository.write(path, before)
            if triton is not None:
                with contextlib.suppress(SixpointError):
                    triton.load(ModelConfig.from_text(before.decode()))
        elif new and triton is not None:
            with contextlib.suppress(SixpointError):
                triton.unload(name)
        if new:
            repository.drop(name)
        elif added is not None:
            repository.drop(name, added)
        raise
    return report


def verify_in_triton(
    repository: ModelRepository, config: ModelConfig, version: int, triton: Triton
) -> ParityReport | None:
    """Ask Triton what lies with the version, and keep how it answered.

    Raises:
        FailedPrecondition: It answers otherwise than the reference, by more than the tolerance of the report.
    """
    assert config.spec is not None
    report, packed = (
        read_parity(repository, config.name, version),
        repository.read(f"{config.name}/{version}/{PARITY_INPUTS_FILE}"),
    )
    if report is None or packed is None:
        # Of a version that was exported, not published: that it answers at all is what can be asked.
        zeros = np.zeros((1, *config.spec.input_shape), np.float16 if config.spec.input.dtype == "FP16" else np.float32)
        answer = triton.infer(config, version, zeros)
        agreement(answer, answer, config.spec, who="Triton")
        return None
    sample, expected = ParityInputs.from_npz(packed)
    answers = [triton.infer(config, version, sample.batch[index : index + 1]) for index in range(len(sample.batch))]
    found = agreement(expected, np.concatenate(answers), config.spec, who="Triton")
    who = f"version {version} in Triton"
    require(found, tolerance=report.tolerance, who=who, least_dice=report.least_dice)
    report = report.model_copy(update={"triton": found})
    repository.write(f"{config.name}/{version}/{PARITY_FILE}", report.to_json().encode())
    return report


def sweep(repository: ModelRepository, name: str) -> None:
    """Remove what publishers that were killed left; under the repository's lock."""
    repository.sweep(name)
    config = read_config(repository, name)
    versions = repository.versions(name)
    marked = [one for one in versions if repository.read(f"{name}/{one}/{UNFINISHED}") is not None]
    if config is None:
        # In an object store the first version is there before the model's config is.
        for one in marked:
            repository.drop(name, one)
        return
    tried = int(config.candidate.version) if config.candidate and config.candidate.share == 0 else None
    lost = [one for one in marked if one not in config.served or one == tried]
    if lost and set(lost) == set(versions):
        repository.drop(name)
        return
    if set(lost) & set(config.served):
        kept = tuple(one for one in config.served if one not in lost)
        repository.write(f"{name}/{FILE_NAME}", replace(config, served=kept, candidate=None).to_text().encode())
    for one in lost:
        repository.drop(name, one)
    for one in set(marked) - set(lost):
        repository.delete(f"{name}/{one}/{UNFINISHED}")


def write_cards(repository: ModelRepository, config: ModelConfig) -> None:
    """Write the model's card, for people and for machines."""
    facts = {}
    for version in repository.versions(config.name):
        record = read_record(repository, config.name, version)
        facts[version] = VersionFacts.of_record(record, read_parity(repository, config.name, version))
    previous = (repository.read(f"{config.name}/{CARD}") or b"").decode()
    repository.write(f"{config.name}/{CARD}", render_card(config, versions=facts, previous=previous).encode())
    repository.write(f"{config.name}/{CARD_JSON}", render_card_json(config, versions=facts).encode())


def _place(
    repository: ModelRepository,
    prepared: PreparedModel,
    version: int,
    config: ModelConfig,
    *,
    new: bool,
    replaced: int | None,
) -> None:
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
