"""What is to be published: from a checkpoint, or from a model that was exported before."""

from __future__ import annotations

import shutil
from pathlib import Path

from exporter.build import build, read_spec
from exporter.card import VersionFacts
from exporter.model_config import FILE_NAME, ModelConfig
from exporter.publishing import Release
from exporter.report import local_parity
from exporter.repository import MODEL_FILE, check_name, versions
from exporter.sample import sample_of
from sixpoint.errors import FailedPrecondition, InvalidArgument
from sixpoint.volume import Volume

__all__ = ["prepare"]

# Protobuf's own limit, and so that of an ONNX file without external data.
_LARGEST_BYTES = 2**31 - 1


def prepare(
    source: Path,
    *,
    spec: Path | None,
    name: str,
    image: Volume | None,
    max_batch_size: int,
    tolerance: float,
    folder: Path,
    half: bool = False,
) -> Release:
    """Export a checkpoint, or take an exported model's newest version; and compare its forms.

    Args:
        source: A checkpoint, or a model's folder with ``config.pbtxt``.
        spec: The checkpoint's description; None: ``spec.yaml`` beside it.
        name: The model's name in Triton; empty: that of the folder.
        image: What the forms are asked about; None: the phantom.
        max_batch_size: Requests that Triton may run together; of a checkpoint.
        tolerance: Largest difference of a probability (0..1) to accept.
        folder: An empty one to work in.
        half: Whether a checkpoint's network is to compute in float16.

    Raises:
        InvalidArgument: The source is neither, or cannot be read.
        FailedPrecondition: It cannot be exported, is too large, or its forms differ by more than the tolerance.
    """
    if source.is_dir():
        if half:
            raise InvalidArgument("an exported model keeps its precision: give its checkpoint for --precision fp16")
        return _exported(source, name=name or source.resolve().name, image=image, tolerance=tolerance, folder=folder)
    name = name or source.resolve().parent.name
    check_name(name)
    description = read_spec(spec or source.with_name("spec.yaml"))
    built = build(
        source,
        description,
        name=name,
        folder=folder,
        max_batch_size=max_batch_size,
        tolerance=tolerance,
        half=half,
    )
    _check_size(built.path)
    sample = sample_of(description, image)
    parity, expected = local_parity(built.path, description, sample, network=built.network, tolerance=tolerance)
    tools = VersionFacts.of_file(built.path).tools
    return Release(built.path, built.config, sample, expected, parity, tools, "fp16" if half else "fp32")


def _exported(source: Path, *, name: str, image: Volume | None, tolerance: float, folder: Path) -> Release:
    check_name(name)
    if not (source / FILE_NAME).is_file():
        raise InvalidArgument(f"{source} is no exported model: it has no {FILE_NAME}")
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
        parity, expected = local_parity(path, config.spec, sample, network=None, tolerance=tolerance)
    except FailedPrecondition:
        raise
    except Exception as error:  # onnxruntime's errors have no base of their own
        raise FailedPrecondition(f"{MODEL_FILE} does not run: {str(error).strip().splitlines()[0]}") from error
    return Release(path, described, sample, expected, parity, VersionFacts.of_file(path).tools)


def _check_size(path: Path) -> None:
    """Refuse what one ONNX file cannot hold, and a file of which the weights lie elsewhere."""
    if path.stat().st_size > _LARGEST_BYTES or list(path.parent.glob("*.onnx.data")):
        raise FailedPrecondition(
            "the model has more than 2 GB or its weights in a file of their own, and a version holds one file: "
            "use a smaller network, or --precision fp16"
        )
