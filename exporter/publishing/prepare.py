"""Prepare a model for publishing: read its source, export it, and compare the export with the original."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from exporter.graph.compose import compose_onnx, to_fp16
from exporter.graph.export import export_onnx
from exporter.graph.model_files import MODEL_FILE
from exporter.graph.network import ProbabilityNetwork
from exporter.graph.precision import NumericPrecision
from exporter.graph.quantise import quantise
from exporter.parity.calibration import calibration_inputs
from exporter.parity.compare import OnnxRunner
from exporter.parity.inputs import ParityInputs, parity_inputs
from exporter.parity.measure import check_batches, measure_parity, measure_quantised_parity
from exporter.parity.report import ParityReport
from exporter.publishing.exported import prepare_exported
from exporter.publishing.prepared import PreparedModel
from exporter.repository.card import VersionFacts
from exporter.repository.config import FILE_NAME, ModelConfig
from exporter.repository.layout import check_model_name
from exporter.sources.dispatch import load_source
from exporter.sources.model import SourceModel
from exporter.sources.options import ExportOptions
from sixpoint._typing import Array
from sixpoint.errors import InvalidArgument
from sixpoint.model_spec import ModelSpec
from sixpoint.volume import Volume

__all__ = ["prepare"]

_STORED_INPUTS = 2
"""Calibration inputs that are stored with a version; Triton is asked them again whenever the version comes to serve."""


def prepare(
    source: Path, options: ExportOptions, *, name: str, folder: Path, image: Volume | None = None
) -> PreparedModel:
    """Export a model, or take the serving version of an exported one, and compare its forms.

    Args:
        source: Source of the model (:func:`exporter.sources.dispatch.load_source`), or the folder of an exported model
            with ``config.pbtxt``.
        options: Options of the export.
        name: The model's name in Triton.
        folder: Empty working folder; the model's files stay there.
        image: Image on which the forms are compared; None: the phantom. A model in int8 is compared on its calibration
            images.

    Raises:
        InvalidArgument: The source is of no supported form, cannot be read, or does not state everything that is
            needed.
        ModelSpecError: Its spec is invalid, or contradicts its network.
        FailedPrecondition: It cannot be exported, or its forms differ too much.
    """
    check_model_name(name)
    if (source / FILE_NAME).is_file():
        return prepare_exported(source, options, name=name, folder=folder, image=image)
    if (options.precision is NumericPrecision.INT8) != (options.calibrate is not None):
        raise InvalidArgument("--precision int8 and --calibrate FOLDER, of real images, must be given together")
    model = load_source(source, options, folder=folder)
    path = folder / MODEL_FILE
    network = _export(model, path, options)
    runner = OnnxRunner(path, model.spec)
    check_batches(runner, model.spec, network=network, tolerance=options.tolerance)
    if options.calibrate is None:
        inputs = parity_inputs(model.spec, image)
        parity, expected = measure_parity(
            runner, model.spec, inputs, network=network, reference=model.reference, tolerance=options.tolerance
        )
    else:
        quantised = folder / "int8" / MODEL_FILE
        inputs, parity, expected = _quantise(model, network, path, quantised, options, folder=options.calibrate)
        path = quantised
    return PreparedModel(
        model=path,
        config=ModelConfig.of(_with_provenance(model), name=name, max_batch_size=options.max_batch_size),
        inputs=inputs,
        expected=expected,
        parity=parity,
        tools=VersionFacts.of_file(path).tools,
        precision=options.precision.value,
        notes=model.notes,
    )


def _export(model: SourceModel, path: Path, options: ExportOptions) -> ProbabilityNetwork:
    """Write the ONNX file in float32 or float16; return the network in float32 to compare it with."""
    network = ProbabilityNetwork(model.network, model.spec).eval()
    half = options.precision is NumericPrecision.FP16
    metadata = {**model.provenance, **({"precision": "fp16"} if half else {})}
    if model.graph is not None:
        graph = to_fp16(model.graph) if half else model.graph
        compose_onnx(graph, model.spec, path, metadata=metadata, max_bytes=options.max_file_bytes)
    else:
        exported = ProbabilityNetwork(model.network, model.spec, half=True).eval() if half else network
        export_onnx(exported, model.spec, path, metadata=metadata, max_bytes=options.max_file_bytes)
    return network


def _quantise(
    model: SourceModel,
    network: ProbabilityNetwork,
    path: Path,
    quantised: Path,
    options: ExportOptions,
    *,
    folder: Path,
) -> tuple[ParityInputs, ParityReport, Array]:
    """Write the model in int8 and compare it with its network.

    Args:
        model: The model.
        network: Its network in float32.
        path: ONNX file of the model in float32.
        quantised: The ONNX file to write.
        options: Options of the export.
        folder: Folder of calibration images.

    Returns:
        The inputs to store with the version, the report, and the expected outputs for these inputs.
    """
    inputs = calibration_inputs(folder, model.spec)
    quantised.parent.mkdir()
    quantise(path, model.spec, inputs.batch, quantised)
    parity, expected = measure_quantised_parity(
        OnnxRunner(quantised, model.spec),
        model.spec,
        inputs,
        network=network,
        reference=model.reference,
        tolerance=options.tolerance,
        least_dice=options.least_dice,
    )
    return replace(inputs, batch=inputs.batch[:_STORED_INPUTS]), parity, expected[:_STORED_INPUTS]


def _with_provenance(model: SourceModel) -> ModelSpec:
    return model.spec.model_copy(update={"provenance": {**model.spec.provenance, **model.provenance}})
