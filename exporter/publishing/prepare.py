"""What is to be published: whatever a model comes as, or a model that was exported before."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from exporter.graph.external_data import DATA_FILE, MODEL_FILE, external_file_names, source_files
from exporter.graph.quantise import quantise
from exporter.parity.calibration import calibration_inputs
from exporter.parity.inputs import parity_inputs
from exporter.parity.report import local_parity, quantised_parity
from exporter.publishing.publish import PreparedModel
from exporter.repository.card import VersionFacts
from exporter.repository.config import FILE_NAME, ModelConfig
from exporter.repository.folder import FolderRepository
from exporter.repository.layout import check_model_name
from exporter.repository.view import finished_versions, read_record, serving_version
from exporter.sources.dispatch import ExportOptions, build_source
from exporter.sources.onnx import OnnxNetwork
from sixpoint.errors import FailedPrecondition, InvalidArgument
from sixpoint.volume import Volume

__all__ = ["prepare"]

_KEPT = 2


def prepare(
    source: Path, options: ExportOptions, *, name: str, folder: Path, image: Volume | None = None
) -> PreparedModel:
    """Export a model, or take of an exported one the version that serves; and compare its forms.

    Args:
        source: What :func:`exporter.sources.dispatch.build_source` takes, or a model's folder with ``config.pbtxt``.
        options: What the user says beside it.
        name: The model's name in Triton.
        folder: An empty one to work in.
        image: What the forms are asked about; None: the phantom. A model in int8 is asked what it was calibrated on.

    Raises:
        InvalidArgument: The source is none of these, cannot be read, or does not say all that is needed.
        ModelSpecError: Its spec is none, or contradicts its network.
        FailedPrecondition: It cannot be exported, or its forms differ by more than is accepted.
    """
    check_model_name(name)
    if (source / FILE_NAME).is_file():
        return _exported(source, options, name=name, image=image, folder=folder)
    if (options.precision == "int8") != (options.calibrate is not None):
        raise InvalidArgument(
            "--precision int8 and --calibrate FOLDER, of real images, are given together or not at all"
        )
    built, notes = build_source(source, options, name=name, folder=folder)
    spec, path = built.config.spec, built.path
    assert spec is not None
    reference = "onnx" if isinstance(built.network.network, OnnxNetwork) else "pytorch"
    if options.calibrate is not None:
        sample = calibration_inputs(options.calibrate, spec)
        path = folder / "int8" / MODEL_FILE
        path.parent.mkdir()
        quantise(built.path, spec, sample, path)
        parity, expected = quantised_parity(
            path,
            spec,
            sample,
            network=built.network,
            reference=reference,
            tolerance=options.tolerance,
            least_dice=options.least_dice,
        )
        # What lies with a version is asked again whenever it comes to serve.
        sample, expected = replace(sample, batch=sample.batch[:_KEPT]), expected[:_KEPT]
    else:
        sample = parity_inputs(spec, image)
        parity, expected = local_parity(
            path, spec, sample, network=built.network, reference=reference, tolerance=options.tolerance
        )
    tools = VersionFacts.of_file(path).tools
    return PreparedModel(path, built.config, sample, expected, parity, tools, options.precision, notes)


def _exported(source: Path, options: ExportOptions, *, name: str, image: Volume | None, folder: Path) -> PreparedModel:
    if (
        options.spec
        or options.overrides
        or options.weights
        or options.ignore
        or options.precision != "fp32"
        or options.calibrate
    ):
        raise InvalidArgument(
            "an exported model keeps its spec, weights and precision: give what it was exported from to change them"
        )
    config = ModelConfig.read(source)
    if config.spec is None:
        raise InvalidArgument(f"{source} is no exported model of sixpoint: its config has no spec")
    if config.backend == "tensorrt":
        raise InvalidArgument(
            f"{source} holds TensorRT plans, each for one GPU and one TensorRT: give what they were exported from"
        )
    place = source.resolve()
    repository = FolderRepository(place.parent)
    whole, present = (
        finished_versions(repository, place.name),
        serving_version(repository, replace(config, name=place.name)),
    )
    if not whole:
        raise InvalidArgument(f"{source} is no exported model of sixpoint: it has no version that is whole")
    version, taken = whole[-1], ", the newest that is whole: no such version is said to serve"
    if present in whole:
        version, taken = present, ": it serves"
    found = source / str(version) / MODEL_FILE
    if not found.is_file():
        raise InvalidArgument(f"version {version} of {source} has no {MODEL_FILE}")
    if set(external_file_names(found)) - {DATA_FILE}:
        raise InvalidArgument(f"{found} has weights in other files than {DATA_FILE}: give it with --spec instead")
    for file in source_files(found):
        shutil.copyfile(file, folder / file.name)
    path = folder / MODEL_FILE
    spec = read_record(repository, place.name, version).spec
    described = ModelConfig.of(spec, name=name, max_batch_size=max(1, config.max_batch_size))
    sample = parity_inputs(spec, image)
    try:
        parity, expected = local_parity(path, spec, sample, network=None, tolerance=options.tolerance)
    except FailedPrecondition:
        raise
    except Exception as error:  # onnxruntime's errors have no base of their own
        raise FailedPrecondition(f"{MODEL_FILE} does not run: {str(error).strip().splitlines()[0]}") from error
    facts = VersionFacts.of_file(path)
    if facts.precision == "int8":  # whose sums processors make a little differently
        parity = parity.model_copy(update={"least_dice": options.least_dice})
    notes = (f"version {version} was taken{taken}",)
    return PreparedModel(path, described, sample, expected, parity, facts.tools, facts.precision, notes)
