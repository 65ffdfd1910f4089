"""Find out what form a model comes in, and read it."""

from __future__ import annotations

from pathlib import Path

from exporter.sources.bundle.load import load_bundle
from exporter.sources.bundle.source import is_bundle
from exporter.sources.checkpoint import load_checkpoint
from exporter.sources.clara import CLARA, load_clara
from exporter.sources.model import SourceModel
from exporter.sources.onnx import load_onnx
from exporter.sources.options import ExportOptions, spec_of_file
from exporter.sources.torchscript import is_torchscript, load_torchscript
from sixpoint.errors import InvalidArgument

__all__ = ["load_source"]


def load_source(path: Path, options: ExportOptions, *, folder: Path) -> SourceModel:
    """Read a model from a checkpoint, a MONAI bundle, an ONNX or TorchScript file, or a Clara model.

    Args:
        path: File or folder.
        options: Options of the export.
        folder: Empty folder for intermediate files.

    Raises:
        InvalidArgument: The source cannot be read, or does not state everything that is needed.
        ModelSpecError: Its spec is invalid, or contradicts its network.
        FailedPrecondition: PyTorch cannot export its TorchScript network.
    """
    if not path.exists():
        raise InvalidArgument(f"there is no model {path}")
    if (path / CLARA).is_file():
        scripts = [file for file in sorted(path.rglob("*")) if file.is_file() and is_torchscript(file)]
        if len(scripts) != 1:
            raise InvalidArgument(f"{path} has {len(scripts)} TorchScript files beside its {CLARA}, expected one")
        return _clara(path / CLARA, scripts[0], options, folder=folder)
    if is_bundle(path):
        return load_bundle(
            path,
            weights=options.weights,
            overrides=options.spec_overrides(),
            ignore=options.ignore,
            folder=folder,
            trusted=options.trust_torchscript,
        )
    if path.is_dir():
        if graphs := sorted(file.name for file in path.glob("*.onnx")):
            raise InvalidArgument(f"{path} is a folder with ONNX files: name one, such as {path / graphs[0]}")
        raise InvalidArgument(
            f"{path} is not a model: expected a bundle with configs/metadata.json, a Clara model with {CLARA}, or an "
            "exported model with config.pbtxt"
        )
    if path.suffix == ".onnx":
        return load_onnx(path, spec_of_file(path, options, network="ONNX"), folder=folder)
    if is_torchscript(path):
        clara = path.with_name(CLARA)
        if options.spec is None and clara.is_file():
            return _clara(clara, path, options, folder=folder)
        spec = spec_of_file(path, options, network="TorchScript")
        return load_torchscript(path, spec, folder=folder, trusted=options.trust_torchscript)
    return load_checkpoint(path, options)


def _clara(config: Path, script: Path, options: ExportOptions, *, folder: Path) -> SourceModel:
    return load_clara(
        config,
        script,
        overrides=options.spec_overrides(),
        ignore=options.ignore,
        folder=folder,
        trusted=options.trust_torchscript,
    )
