"""Prepare a model that was exported before, to publish it again elsewhere."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from exporter.graph.external_data import external_file_names, source_files
from exporter.graph.model_files import DATA_FILE, MODEL_FILE
from exporter.graph.precision import NumericPrecision
from exporter.parity.compare import OnnxRunner
from exporter.parity.inputs import parity_inputs
from exporter.parity.measure import measure_parity
from exporter.publishing.prepared import PreparedModel
from exporter.repository.card import VersionFacts
from exporter.repository.config import ModelConfig
from exporter.repository.folder import FolderRepository
from exporter.repository.view import finished_versions, read_record, serving_version
from exporter.sources.options import ExportOptions
from sixpoint.errors import FailedPrecondition, InvalidArgument
from sixpoint.volume import Volume

__all__ = ["prepare_exported"]


def prepare_exported(
    source: Path, options: ExportOptions, *, name: str, folder: Path, image: Volume | None = None
) -> PreparedModel:
    """Take the serving version of an exported model, or its newest one.

    Args:
        source: The model's folder, with ``config.pbtxt``.
        options: Options of the export.
        name: The model's new name in Triton.
        folder: Empty working folder; the model's files are copied there.
        image: Image that ONNX Runtime is asked about; None: the phantom.

    Raises:
        InvalidArgument: The folder holds no exported model, or the options would change it.
        ModelSpecError: Its config or spec is invalid.
        FailedPrecondition: It does not run.
    """
    _refuse_changes(options)
    config = _read_config(source)
    version, why = _choose_version(source, config)
    path = _copy_files(source, version, folder)
    repository, model = FolderRepository(source.resolve().parent), source.resolve().name
    spec = read_record(repository, model, version).spec
    inputs = parity_inputs(spec, image)
    try:
        parity, expected = measure_parity(
            OnnxRunner(path, spec), spec, inputs, network=None, tolerance=options.tolerance
        )
    except FailedPrecondition:
        raise
    except Exception as error:  # ONNX Runtime's errors have no common base class
        raise FailedPrecondition(f"{MODEL_FILE} does not run: {str(error).strip().splitlines()[0]}") from error
    facts = VersionFacts.of_file(path)
    if facts.precision == "int8":  # processors round its sums differently, so that Triton is judged by the masks, too
        parity = parity.model_copy(update={"least_dice": options.least_dice})
    return PreparedModel(
        model=path,
        config=ModelConfig.of(spec, name=name, max_batch_size=max(1, config.max_batch_size)),
        inputs=inputs,
        expected=expected,
        parity=parity,
        tools=facts.tools,
        precision=facts.precision,
        notes=(f"version {version} was taken{why}",),
    )


def _refuse_changes(options: ExportOptions) -> None:
    if (
        options.spec
        or options.overrides
        or options.weights
        or options.ignore
        or options.precision is not NumericPrecision.FP32
        or options.calibrate
    ):
        raise InvalidArgument(
            "an exported model keeps its spec, weights and precision: to change them, export its original source again"
        )


def _read_config(source: Path) -> ModelConfig:
    config = ModelConfig.read(source)
    if config.spec is None:
        raise InvalidArgument(f"{source} is not an exported model of sixpoint: its config has no spec")
    if config.backend == "tensorrt":
        raise InvalidArgument(
            f"{source} holds TensorRT plans, each for one GPU and one TensorRT version: publish their ONNX source"
        )
    return config


def _choose_version(source: Path, config: ModelConfig) -> tuple[int, str]:
    """Return the version to take, and the reason as the end of a sentence."""
    repository, name = FolderRepository(source.resolve().parent), source.resolve().name
    finished, present = finished_versions(repository, name), serving_version(repository, replace(config, name=name))
    if not finished:
        raise InvalidArgument(f"{source} is not an exported model of sixpoint: it has no finished version")
    if present in finished:
        return present, ": it serves"
    return finished[-1], ", the newest finished one: the config names no finished version to serve"


def _copy_files(source: Path, version: int, folder: Path) -> Path:
    """Copy a version's model files into a folder; returns the ONNX file there."""
    original = source / str(version) / MODEL_FILE
    if not original.is_file():
        raise InvalidArgument(f"version {version} of {source} has no {MODEL_FILE}")
    if set(external_file_names(original)) - {DATA_FILE}:
        raise InvalidArgument(
            f"{original} has weights in other files than {DATA_FILE}: export it as an ONNX file with --spec"
        )
    for file in source_files(original):
        shutil.copyfile(file, folder / file.name)
    return folder / MODEL_FILE
