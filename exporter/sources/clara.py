"""Read a model from a Clara ``config_aiaa.json`` and a TorchScript file.

The format is that of Clara Train 3 and 4: transforms are ``{name, args}``, the inferer is under ``inference``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from exporter.sources.bundle.missing import MissingField
from exporter.sources.bundle.spec import DerivedSpec, ModelDescription, derive_spec
from exporter.sources.mapping import read_mapping
from exporter.sources.model import SourceModel
from exporter.sources.torchscript import load_torchscript
from sixpoint.errors import InvalidArgument

__all__ = ["CLARA", "load_clara"]

CLARA = "config_aiaa.json"


def load_clara(
    config: Path,
    script: Path,
    *,
    overrides: Mapping[str, Any],
    ignore: Collection[str],
    folder: Path,
    trusted: bool,
) -> SourceModel:
    """Read a model from a Clara config and a TorchScript file.

    Args:
        config: The ``config_aiaa.json``.
        script: The TorchScript file.
        overrides: What the user says of the spec, as nested mappings; takes precedence over the config.
        ignore: Names of transforms to leave out.
        folder: Folder for intermediate files.
        trusted: Whether the user trusts the origin of the TorchScript file.

    Raises:
        InvalidArgument: A file cannot be read, the model is of another kind, or the config does not state everything
            that is needed.
        ModelSpecError: The spec is invalid, or contradicts the network.
        FailedPrecondition: PyTorch cannot export the network.
    """
    derived = _read_config(config, overrides=overrides, ignore=ignore)
    return load_torchscript(script, derived.spec, folder=folder, trusted=trusted, notes=derived.notes)


def _read_config(path: Path, *, overrides: Mapping[str, Any], ignore: Collection[str]) -> DerivedSpec:
    content = read_mapping(path, what="Clara's")
    kind = content.get("type", "segmentation")
    if kind != "segmentation":
        raise InvalidArgument(f"{CLARA} is of type {kind}, expected segmentation: describe the model with --spec FILE")
    names = [str(name) for name in _list(content.get("labels")) if str(name).lower() != "background"]
    inference = content.get("inference")
    inference = inference if isinstance(inference, Mapping) else {}
    missing: list[MissingField] = []
    description = ModelDescription(
        name=CLARA,
        texts={
            "title": str(content.get("description") or path.resolve().parent.name),
            "description": str(content.get("description", "")),
        },
        network={"name": "TorchScript"},
        missing=missing,
        labels=dict(enumerate(names, start=1)),
        preprocessing=[_transform(step) for step in _list(content.get("pre_transforms"))],
        inferer=_inferer(inference, missing),
        postprocessing=[_transform(step) for step in _list(content.get("post_transforms"))],
        image_key=str(inference.get("input", "image")),
        output_key=str(inference.get("output", "model")),
    )
    return derive_spec(description, overrides=overrides, ignore=ignore)


def _transform(value: Any) -> Any:
    """Convert a Clara transform to the form of a MONAI config."""
    if not isinstance(value, Mapping):
        return value
    arguments = value.get("args")
    return {**(arguments if isinstance(arguments, Mapping) else {}), "_target_": str(value.get("name", ""))}


def _inferer(inference: Mapping[str, Any], missing: list[MissingField]) -> Any:
    """Convert Clara's inference section to the inferer of a MONAI config."""
    for engine in ("AIAA", "TRITON"):
        part = inference.get(engine)
        arguments = part.get("args") if isinstance(part, Mapping) else None
        if isinstance(arguments, Mapping) and arguments.get("scanning_window"):
            overlap = {"overlap": arguments["overlap"]} if "overlap" in arguments else {}
            return {"_target_": "SlidingWindowInferer", "roi_size": arguments.get("roi"), **overlap}
    missing.append(MissingField("patch.size", "inference has no scanning_window", "--patch X,Y,Z"))
    return {"_target_": "SimpleInferer"}


def _list(value: Any) -> list[Any]:
    if isinstance(value, Mapping):  # labels may be {"spleen": 1}
        return list(value)
    return value if isinstance(value, list) else []
