"""An old Clara ``config_aiaa.json`` beside a TorchScript model, as a spec.

The format is Clara Train's, versions 3 and 4: transforms are ``{name, args}``, the inferer is under ``inference``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from exporter.sources.bundle.config import read_mapping
from exporter.sources.bundle.preprocessing import MissingField
from exporter.sources.bundle.spec import DerivedSpec, ModelDescription, derive_spec
from sixpoint.errors import InvalidArgument

__all__ = ["CLARA", "read_clara"]

CLARA = "config_aiaa.json"


def read_clara(path: Path, *, overrides: Mapping[str, Any], ignore: Collection[str] = ()) -> DerivedSpec:
    """Turn a ``config_aiaa.json`` into a spec, of a network in a TorchScript file.

    Args:
        path: The config.
        overrides: What the user says of the spec, as nested mappings; it comes before what the config says.
        ignore: Names of transforms that may be left out.

    Raises:
        InvalidArgument: It is no such config, is of another kind of model, or does not say all that is needed.
    """
    content = read_mapping(path, what="Clara's")
    kind = content.get("type", "segmentation")
    if kind != "segmentation":
        raise InvalidArgument(
            f"{CLARA} is of type {kind}, and segmentation is understood: describe it with --spec FILE"
        )
    names = [str(name) for name in _list(content.get("labels")) if str(name).lower() != "background"]
    inference = content.get("inference")
    inference = inference if isinstance(inference, Mapping) else {}
    gaps: list[MissingField] = []
    parts = ModelDescription(
        name=CLARA,
        described={
            "title": str(content.get("description") or path.resolve().parent.name),
            "description": str(content.get("description", "")),
        },
        network=({"name": "TorchScript"}, gaps),
        labels=dict(enumerate(names, start=1)),
        preprocessing=[_transform(one) for one in _list(content.get("pre_transforms"))],
        inferer=_inferer(inference, gaps),
        postprocessing=[_transform(one) for one in _list(content.get("post_transforms"))],
        keys=(str(inference.get("input", "image")), str(inference.get("output", "model"))),
    )
    return derive_spec(parts, overrides=overrides, ignore=ignore)


def _transform(value: Any) -> Any:
    """A transform as a MONAI config has it."""
    if not isinstance(value, Mapping):
        return value
    arguments = value.get("args")
    return {**(arguments if isinstance(arguments, Mapping) else {}), "_target_": str(value.get("name", ""))}


def _inferer(inference: Mapping[str, Any], gaps: list[MissingField]) -> Any:
    for engine in ("AIAA", "TRITON"):
        part = inference.get(engine)
        arguments = part.get("args") if isinstance(part, Mapping) else None
        if isinstance(arguments, Mapping) and arguments.get("scanning_window"):
            return {"_target_": "SlidingWindowInferer", "roi_size": arguments.get("roi"), **_overlap(arguments)}
    gaps.append(MissingField("patch.size", "inference has no scanning_window", "--patch X,Y,Z"))
    return {"_target_": "SimpleInferer"}


def _overlap(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {"overlap": arguments["overlap"]} if "overlap" in arguments else {}


def _list(value: Any) -> list[Any]:
    if isinstance(value, Mapping):  # {"spleen": 1}
        return list(value)
    return value if isinstance(value, list) else []
