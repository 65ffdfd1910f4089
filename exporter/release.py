"""What is to be published: whatever a model comes as, or a model that was exported before."""

from __future__ import annotations

import shutil
from pathlib import Path

from exporter.card import VersionFacts
from exporter.model_config import FILE_NAME, ModelConfig
from exporter.onnx_source import OnnxNetwork
from exporter.publishing import Release
from exporter.report import local_parity
from exporter.repository import MODEL_FILE, check_name, versions
from exporter.sample import sample_of
from exporter.sources import Options, build_source
from sixpoint.errors import FailedPrecondition, InvalidArgument
from sixpoint.volume import Volume

__all__ = ["prepare"]

# Protobuf's own limit, and so that of an ONNX file without external data.
_LARGEST_BYTES = 2**31 - 1


def prepare(source: Path, options: Options, *, name: str, folder: Path, image: Volume | None = None) -> Release:
    """Export a model, or take an exported model's newest version; and compare its forms.

    Args:
        source: What :func:`exporter.sources.build_source` takes, or a model's folder with ``config.pbtxt``.
        options: What the user says beside it.
        name: The model's name in Triton.
        folder: An empty one to work in.
        image: What the forms are asked about; None: the phantom.

    Raises:
        InvalidArgument: The source is none of these, cannot be read, or does not say all that is needed.
        ModelSpecError: Its spec is none, or contradicts its network.
        FailedPrecondition: It cannot be exported, is too large, or its forms differ by more than the tolerance.
    """
    check_name(name)
    if (source / FILE_NAME).is_file():
        return _exported(source, options, name=name, image=image, folder=folder)
    built, notes = build_source(source, options, name=name, folder=folder)
    _check_size(built.path)
    assert built.config.spec is not None
    sample = sample_of(built.config.spec, image)
    parity, expected = local_parity(
        built.path,
        built.config.spec,
        sample,
        network=built.network,
        reference="onnx" if isinstance(built.network.network, OnnxNetwork) else "pytorch",
        tolerance=options.tolerance,
    )
    tools = VersionFacts.of_file(built.path).tools
    return Release(built.path, built.config, sample, expected, parity, tools, options.precision, notes)


def _exported(source: Path, options: Options, *, name: str, image: Volume | None, folder: Path) -> Release:
    if options.spec or options.given or options.weights or options.ignore or options.precision != "fp32":
        raise InvalidArgument(
            "an exported model keeps its spec, weights and precision: give what it was exported from to change them"
        )
    there = versions(source)
    config = ModelConfig.read(source)
    if not there or config.spec is None:
        raise InvalidArgument(f"{source} is no exported model of sixpoint: it has no version, or its config no spec")
    found = source / str(there[-1]) / MODEL_FILE
    if not found.is_file():
        raise InvalidArgument(f"version {there[-1]} of {source} has no {MODEL_FILE}")
    _check_size(found)
    path = Path(shutil.copyfile(found, folder / MODEL_FILE))
    described = ModelConfig.of(config.spec, name=name, max_batch_size=max(1, config.max_batch_size))
    sample = sample_of(config.spec, image)
    try:
        parity, expected = local_parity(path, config.spec, sample, network=None, tolerance=options.tolerance)
    except FailedPrecondition:
        raise
    except Exception as error:  # onnxruntime's errors have no base of their own
        raise FailedPrecondition(f"{MODEL_FILE} does not run: {str(error).strip().splitlines()[0]}") from error
    facts = VersionFacts.of_file(path)
    return Release(path, described, sample, expected, parity, facts.tools, facts.precision)


def _check_size(path: Path) -> None:
    """Refuse what one ONNX file cannot hold, and a file of which the weights lie elsewhere."""
    if path.stat().st_size > _LARGEST_BYTES or list(path.parent.glob("*.onnx.data")):
        raise FailedPrecondition(
            "the model has more than 2 GB or its weights in a file of their own, and a version holds one file: "
            "use a smaller network, or --precision fp16"
        )
