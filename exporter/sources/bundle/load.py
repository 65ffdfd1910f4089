"""Read a model from a MONAI bundle."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from exporter.sources.bundle.source import open_bundle
from exporter.sources.bundle.spec import read_bundle
from exporter.sources.checkpoint import model_of_state, read_checkpoint
from exporter.sources.model import SourceModel
from exporter.sources.torchscript import load_torchscript, script_state

__all__ = ["load_bundle"]


def load_bundle(
    path: Path,
    *,
    weights: Path | None,
    overrides: Mapping[str, Any],
    ignore: Collection[str],
    folder: Path,
    trusted: bool = False,
) -> SourceModel:
    """Read a model from a bundle: MONAI's network class with the bundle's weights, or its TorchScript network.

    Args:
        path: Folder or zip archive.
        weights: File of weights to use in place of the bundle's own.
        overrides: What the user says of the spec; takes precedence over the bundle.
        ignore: Names of transforms to leave out.
        folder: Folder for intermediate files.
        trusted: Whether the user trusts the origin of a TorchScript file.

    Raises:
        InvalidArgument: The bundle cannot be read, or does not state everything that is needed.
        ModelSpecError: Its spec is invalid, or contradicts its network.
        FailedPrecondition: PyTorch cannot export its TorchScript network.
    """
    with open_bundle(path, weights=weights) as bundle:
        derived = read_bundle(bundle, overrides=overrides, ignore=ignore)
        spec, notes = derived.spec, derived.notes
        if spec.network is not None and spec.network.name == "TorchScript":
            return load_torchscript(bundle.weights, spec, folder=folder, trusted=trusted, notes=notes)
        if bundle.scripted:
            state, more = script_state(bundle.weights, trusted=trusted)
            notes = (*notes, *more)
        else:
            state = read_checkpoint(bundle.weights, key=bundle.weights_key)
        return model_of_state(state, spec, weights=bundle.weights, notes=notes)
