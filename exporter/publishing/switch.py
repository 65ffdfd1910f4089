"""Switch the versions that Triton serves: write a config, have Triton load it, and go back on any failure."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from exporter.parity.compare import compare_outputs, require_agreement
from exporter.parity.inputs import ParityInputs
from exporter.parity.report import Agreement, ParityReport
from exporter.publishing.triton import Triton
from exporter.publishing.triton_endpoint import TritonEndpoint
from exporter.repository.config import FILE_NAME, ModelConfig
from exporter.repository.protocol import ModelRepository
from exporter.repository.record import PARITY_FILE, PARITY_INPUTS_FILE
from exporter.repository.view import read_parity
from sixpoint._typing import Array

__all__ = ["switch", "verify_in_triton"]


def switch(
    repository: ModelRepository,
    configs: list[ModelConfig],
    *,
    check: int,
    triton: Triton | None,
    new: bool = False,
    added: int | None = None,
    on_loaded: Callable[[], None] = lambda: None,
) -> ParityReport | None:
    """Put configs in place one after the other, and have all Tritons load each. Needs the repository's lock.

    On any failure, of one Triton too, the previous config is restored, and all Tritons load it again. One that cannot
    be reached reads it when it starts.

    Args:
        repository: The repository.
        configs: The configs in order; version ``check`` is verified after the first. Without Triton, only the last is
            written.
        check: Version to verify in Triton.
        triton: The Tritons that serve the repository; None: no Triton is asked.
        new: Whether the model was created just now, and is to be deleted on failure.
        added: Version that was added just now, and is to be deleted on failure.
        on_loaded: Called after the first config is loaded and verified; what it raises undoes all.

    Returns:
        The parity report with Triton's agreement; None without Triton, or for a version without parity inputs.
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
                on_loaded()
    except BaseException:
        if not new and before is not None:
            repository.write(path, before)
        if triton is not None:
            triton.restore(name, None if new or before is None else before.decode())
        if new:
            repository.drop(name)
        elif added is not None:
            repository.drop(name, added)
        raise
    return report


def verify_in_triton(
    repository: ModelRepository, config: ModelConfig, version: int, triton: Triton
) -> ParityReport | None:
    """Compare all Tritons' answers to a version's parity inputs with the expected ones, and store the result.

    Returns:
        The version's parity report with the lowest agreement of a Triton; None for a version without parity inputs, of
        which any finite answer is accepted.

    Raises:
        FailedPrecondition: The answers differ by more than the report's tolerance.
    """
    assert config.spec is not None
    report = read_parity(repository, config.name, version)
    stored = repository.read(f"{config.name}/{version}/{PARITY_INPUTS_FILE}")
    if report is None or stored is None:
        zeros = np.zeros((1, *config.spec.input_shape), np.float16 if config.spec.input.dtype == "FP16" else np.float32)
        spec = config.spec
        for answer in triton.on_all(lambda endpoint: endpoint.infer(config, version, zeros)):
            compare_outputs(answer, answer, spec, who="Triton")
        return None
    inputs, expected = ParityInputs.from_npz(stored)
    agreements = triton.on_all(
        partial(_agreement, config=config, version=version, inputs=inputs, expected=expected, report=report)
    )
    report = report.model_copy(update={"triton": max(agreements, key=lambda agreement: agreement.largest)})
    repository.write(f"{config.name}/{version}/{PARITY_FILE}", report.to_json().encode())
    return report


def _agreement(
    endpoint: TritonEndpoint,
    *,
    config: ModelConfig,
    version: int,
    inputs: ParityInputs,
    expected: Array,
    report: ParityReport,
) -> Agreement:
    """Return how far one Triton's answers agree with the expected ones.

    Raises:
        FailedPrecondition: The answers differ by more than the report's tolerance.
    """
    assert config.spec is not None
    answers = [endpoint.infer(config, version, inputs.batch[index : index + 1]) for index in range(len(inputs.batch))]
    agreement = compare_outputs(expected, np.concatenate(answers), config.spec, who="Triton")
    require_agreement(
        agreement,
        tolerance=report.tolerance,
        who=f"version {version} in Triton",
        reference="the model that was given",
        least_dice=report.least_dice,
    )
    return agreement
