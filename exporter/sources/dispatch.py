"""Whatever a model comes as, built: a checkpoint, a MONAI bundle, an ONNX or TorchScript file, a Clara model."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from torch import nn

from exporter.graph.adapters import network_shape
from exporter.graph.export import export_onnx
from exporter.graph.external_data import MAX_PROTOBUF_BYTES, MODEL_FILE, sha256_of_files, source_files
from exporter.graph.network import ProbabilityNetwork, build_network
from exporter.parity.compare import check_parity
from exporter.repository.config import FILE_NAME, ModelConfig
from exporter.sources.bundle.config import read_mapping
from exporter.sources.bundle.source import is_bundle, open_bundle
from exporter.sources.bundle.spec import merge, read_bundle
from exporter.sources.checkpoint import StateDict, load_weights, read_checkpoint
from exporter.sources.clara import CLARA, read_clara
from exporter.sources.onnx import OnnxNetwork, compose_onnx, read_onnx, to_fp16
from exporter.sources.torchscript import export_script, is_torchscript, read_script, script_state
from sixpoint.errors import InvalidArgument
from sixpoint.model_spec import ModelSpec

__all__ = ["Built", "ExportOptions", "NumericPrecision", "build_source"]

NumericPrecision = Literal["fp32", "fp16", "int8"]
"""In what a network computes."""


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What the user says beside the source.

    Attributes:
        spec: A description, whole or (of a bundle) in part; it comes before what the source says.
        overrides: The same from single flags, which come before that.
        weights: The file of weights to take instead of the one that a bundle names.
        ignore: Names of transforms that may be left out.
        max_batch_size: Requests that Triton may run together.
        tolerance: Largest difference of a probability (0..1) to accept.
        precision: In what the exported network computes; it is compared with the one in float32. What is built for int8
            is in float32, and quantised afterwards (:mod:`exporter.publishing.prepare`).
        calibrate: A folder of images that show the network's ranges, for int8.
        least_dice: Least mean Dice of the masks on them that is accepted of int8.
        max_file_bytes: Bytes that an ONNX file may come to; the weights of what is larger lie in a file beside it.
    """

    spec: Path | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    weights: Path | None = None
    ignore: tuple[str, ...] = ()
    max_batch_size: int = 8
    tolerance: float = 2 / 255
    precision: NumericPrecision = "fp32"
    calibrate: Path | None = None
    least_dice: float = 0.97
    max_file_bytes: int = MAX_PROTOBUF_BYTES


@dataclass(frozen=True)
class Built:
    """What an export made.

    Attributes:
        path: The ONNX file.
        config: Of the model, its provenance included.
        network: What was exported, in float32 and in evaluation mode.
    """

    path: Path
    config: ModelConfig
    network: ProbabilityNetwork


def build_source(source: Path, options: ExportOptions, *, name: str, folder: Path) -> tuple[Built, tuple[str, ...]]:
    """Export whatever a source is into ``folder``, and compare the result with it.

    Args:
        source: File or folder.
        options: What the user says.
        name: The model's name in Triton.
        folder: Where files are written.

    Returns:
        What was made, and notes of what the gateway does otherwise than the source.

    Raises:
        InvalidArgument: The source cannot be read, or does not say all that is needed.
        ModelSpecError: Its spec is none, or contradicts its network.
        FailedPrecondition: PyTorch cannot export the network, or the result is off.
    """
    given = merge(read_mapping(options.spec, what="the spec") if options.spec else {}, options.overrides)
    if not source.exists():
        raise InvalidArgument(f"there is no model {source}")
    if (source / CLARA).is_file():
        files = [file for file in sorted(source.rglob("*")) if file.is_file() and is_torchscript(file)]
        if len(files) != 1:
            raise InvalidArgument(f"{source} has {len(files)} TorchScript files beside its {CLARA}, expected one")
        reading = read_clara(source / CLARA, overrides=given, ignore=options.ignore)
        return _scripted(files[0], reading.spec, options, name=name, folder=folder), reading.notes
    if is_bundle(source):
        with open_bundle(source, weights=options.weights) as bundle:
            reading = read_bundle(bundle, overrides=given, ignore=options.ignore)
            if reading.spec.network is not None and reading.spec.network.name == "TorchScript":
                return _scripted(bundle.weights, reading.spec, options, name=name, folder=folder), reading.notes
            state = script_state(bundle.weights) if bundle.scripted else read_checkpoint(bundle.weights)
            return _state(state, bundle.weights, reading.spec, options, name=name, folder=folder), reading.notes
    if source.is_dir():
        raise InvalidArgument(
            f"{source} is no model: it has no configs/metadata.json of a bundle, no {CLARA} and no {FILE_NAME}"
        )
    if source.suffix == ".onnx":
        return _onnx(source, _described(source, given, options, "ONNX"), options, name=name, folder=folder), ()
    if is_torchscript(source):
        clara = source.with_name(CLARA)
        if options.spec is None and clara.is_file():
            reading = read_clara(clara, overrides=given, ignore=options.ignore)
            return _scripted(source, reading.spec, options, name=name, folder=folder), reading.notes
        return _scripted(
            source, _described(source, given, options, "TorchScript"), options, name=name, folder=folder
        ), ()
    state = read_checkpoint(source)
    return _state(state, source, _described(source, given, options), options, name=name, folder=folder), ()


def _described(source: Path, given: Mapping[str, Any], options: ExportOptions, kind: str = "") -> ModelSpec:
    """The spec of a file that does not describe itself: the user's, or the one beside it."""
    beside = source.with_name("spec.yaml")
    if options.spec is None:
        if not beside.is_file():
            raise InvalidArgument(
                f"nothing describes {source.name}: name its spec with --spec, or put spec.yaml beside it"
            )
        given = merge(read_mapping(beside, what="the spec"), given)
    return ModelSpec.from_mapping(merge({"network": {"name": kind}} if kind else {}, given))


def _state(
    state: StateDict, weights: Path, spec: ModelSpec, options: ExportOptions, *, name: str, folder: Path
) -> Built:
    network = build_network(spec)
    load_weights(network, state)
    wrapped = ProbabilityNetwork(network, spec).eval()
    origin = _origin(weights, "checkpoint_sha256", "torch", "monai", "onnx")
    exported = ProbabilityNetwork(network, spec, half=True).eval() if options.precision == "fp16" else wrapped
    metadata = {**origin, **_noted(options)}
    export_onnx(exported, spec, folder / MODEL_FILE, metadata=metadata, max_bytes=options.max_file_bytes)
    return _built(wrapped, spec, options, name=name, folder=folder, origin=origin)


def _scripted(script: Path, spec: ModelSpec, options: ExportOptions, *, name: str, folder: Path) -> Built:
    module = read_script(script)
    plain = folder / "network" / MODEL_FILE
    plain.parent.mkdir()
    export_script(module, network_shape(spec), plain)
    origin = _origin(script, "torchscript_sha256", "torch", "onnx")
    _composed(plain, spec, options, folder=folder, origin=origin)
    return _built(_wrap(module, spec), spec, options, name=name, folder=folder, origin=origin)


def _onnx(source: Path, spec: ModelSpec, options: ExportOptions, *, name: str, folder: Path) -> Built:
    origin = _origin(source, "onnx_sha256", "torch", "onnx")  # refuses weights outside of its folder, first of all
    _composed(source, spec, options, folder=folder, origin=origin)
    return _built(_wrap(OnnxNetwork(source), spec), spec, options, name=name, folder=folder, origin=origin)


def _composed(plain: Path, spec: ModelSpec, options: ExportOptions, *, folder: Path, origin: Mapping[str, str]) -> None:
    model = read_onnx(plain, spec)
    if options.precision == "fp16":
        model = to_fp16(model, source=plain.parent, what=plain.name)
    metadata = {**origin, **_noted(options)}
    compose_onnx(
        model, spec, folder / MODEL_FILE, metadata=metadata, source=plain.parent, max_bytes=options.max_file_bytes
    )


def _noted(options: ExportOptions) -> dict[str, str]:
    return {"precision": "fp16"} if options.precision == "fp16" else {}


def _wrap(network: nn.Module, spec: ModelSpec) -> ProbabilityNetwork:
    return ProbabilityNetwork(network, spec).eval()


def _built(
    network: ProbabilityNetwork,
    spec: ModelSpec,
    options: ExportOptions,
    *,
    name: str,
    folder: Path,
    origin: Mapping[str, str],
) -> Built:
    path = folder / MODEL_FILE
    check_parity(network, spec, path, tolerance=options.tolerance)
    described = spec.model_copy(update={"provenance": {**spec.provenance, **origin}})
    config = ModelConfig.of(described, name=name, max_batch_size=options.max_batch_size)
    return Built(path, config, network)


def _origin(file: Path, name: str, *tools: str) -> dict[str, str]:
    files = source_files(file) if file.suffix == ".onnx" else [file]
    return {name: sha256_of_files(files), **{tool: importlib.metadata.version(tool) for tool in tools}}
