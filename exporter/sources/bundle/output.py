"""Read a bundle's inferer and postprocessing: windows, activation, and the decision between labels."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Literal

from exporter.sources.bundle.expression import Unknown
from exporter.sources.bundle.preprocessing import MissingField, plain_name, steps, three

__all__ = ["Inferer", "Postprocessing", "read_inferer", "read_postprocessing"]

_SILENT = frozenset(
    ["Invert", "SaveImage", "EnsureType", "CastToType", "SqueezeDim", "ToTensor", "Restore", "Identity", "ToDevice"]
)
"""Transforms that bring the output onto the image's grid or into a file: the gateway does so for every model."""
_NOTED = frozenset(
    [
        "KeepLargestConnectedComponent",
        "FillHoles",
        "RemoveSmallObjects",
        "LargestCC",
        "LabelFilter",
        "ToNumpy",
        "BoundingBox",
        "ExtremePoints",
    ]
)


@dataclass
class Inferer:
    """How the network slides over a volume.

    Attributes:
        size: Size of a window in voxels, along the network's axes; None if not stated.
        overlap: Overlap of neighbouring windows, as a fraction of a window's edge.
        blend: Weighting of voxels where windows overlap.
        padding: Padding of volumes smaller than a window.
        value: Value of constant padding, in the network's intensities.
        notes: Differences between the bundle's pipeline and the gateway's.
        missing: Fields that are missing or not supported.
    """

    size: tuple[int, int, int] | None = None
    overlap: float = 0.25
    blend: Literal["gaussian", "constant"] = "constant"
    padding: Literal["constant", "replicate"] = "constant"
    value: float = 0.0
    notes: list[str] = field(default_factory=list)
    missing: list[MissingField] = field(default_factory=list)


@dataclass
class Postprocessing:
    """How the network's output becomes labels.

    Attributes:
        activation: Function that turns the output into probabilities; None if not stated.
        exclusive: Whether the label with the largest probability wins (argmax); None if not stated.
        threshold: Probability threshold of labels that may overlap.
        notes: Differences between the bundle's pipeline and the gateway's.
        missing: Fields that are missing or not supported.
    """

    activation: Literal["softmax", "sigmoid"] | None = None
    exclusive: bool | None = None
    threshold: float = 0.5
    notes: list[str] = field(default_factory=list)
    missing: list[MissingField] = field(default_factory=list)


def read_inferer(value: Any) -> Inferer:
    """Read the config's resolved ``inferer``; MONAI's defaults apply to what it leaves out."""
    result = Inferer()
    if not isinstance(value, dict):
        result.missing.append(MissingField("patch.size", "no inferer gives the size of a window", "--patch X,Y,Z"))
        return result
    name = plain_name(value.get("_target_", ""))
    if name == "SimpleInferer":
        return result
    if name != "SlidingWindowInferer":
        result.missing.append(MissingField("patch.size", f"inferer {name} is not supported", "--patch X,Y,Z"))
        return result
    result.size = three(value.get("roi_size"), int)
    overlap = value.get("overlap", 0.25)
    if isinstance(overlap, list | tuple):
        if len(set(overlap)) > 1:
            result.notes.append(f"overlap: {max(overlap)} along every axis, the bundle has {list(overlap)}")
        overlap = max(overlap)
    if isinstance(overlap, int | float) and 0 <= overlap < 1:
        result.overlap = float(overlap)
    else:
        result.missing.append(
            MissingField(
                "patch.overlap", f"overlap {_text(overlap)} is not a fraction", "--spec FILE with patch.overlap"
            )
        )
    result.blend = "gaussian" if value.get("mode", "constant") == "gaussian" else "constant"
    match value.get("padding_mode", "constant"):
        case "replicate":
            result.padding = "replicate"
        case "constant":
            cval = value.get("cval", 0.0)
            result.value = float(cval) if isinstance(cval, int | float) else 0.0
        case other:
            result.padding = "replicate"
            result.notes.append(f"padding_mode: replicate, the bundle has {_text(other)}")
    return result


def read_postprocessing(value: Any, *, key: str, ignore: Collection[str] = ()) -> Postprocessing:
    """Read a bundle's postprocessing.

    Args:
        value: The config's resolved ``postprocessing``.
        key: Name of the network's output in it.
        ignore: Names of transforms to leave out.
    """
    result = Postprocessing()
    ignored = {plain_name(name) for name in ignore}
    for name, arguments in steps(value, key):
        if name in _SILENT or name in ignored:
            continue
        if name == "Activations":
            result.activation = (
                "softmax" if arguments.get("softmax") else "sigmoid" if arguments.get("sigmoid") else None
            )
        elif name == "AsDiscrete":
            _discrete(result, arguments)
        elif name in _NOTED:
            result.notes.append(f"{name}: the gateway does not apply this to the output")
        else:
            label = name or arguments["_target_"]
            result.missing.append(
                MissingField("output", f"postprocessing {label} is not supported", f"--ignore {label}")
            )
    if result.exclusive is None and result.activation is not None:
        result.exclusive = result.activation == "softmax"
    return result


def _discrete(result: Postprocessing, arguments: dict[str, Any]) -> None:
    threshold = arguments.get("threshold", arguments.get("logit_thresh"))
    if arguments.get("argmax"):
        result.exclusive = True
    elif isinstance(threshold, bool):  # older configs have threshold_values, with a threshold of 0.5
        result.exclusive = False
    elif isinstance(threshold, int | float) and 0 < threshold < 1:
        result.exclusive, result.threshold = False, float(threshold)
    elif arguments.get("threshold_values"):
        result.exclusive = False
    else:
        result.missing.append(
            MissingField(
                "output",
                "postprocessing AsDiscrete has no argmax and no threshold in (0, 1)",
                "--spec FILE with output",
            )
        )


def _text(value: Any) -> str:
    return value.text if isinstance(value, Unknown) else str(value)
