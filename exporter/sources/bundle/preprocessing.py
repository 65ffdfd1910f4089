"""Read a bundle's preprocessing: axes, spacing, intensities and clicks."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from exporter.sources.bundle.intensity import INTENSITY_TRANSFORMS, LinearScaling, ScalingError, apply_transform

__all__ = ["MissingField", "Preprocessing", "plain_name", "read_preprocessing", "steps", "three"]

_SILENT = frozenset(
    [
        "LoadImage",
        "EnsureChannelFirst",
        "AddChannel",
        "AsChannelFirst",
        "EnsureType",
        "ToTensor",
        "CastToType",
        "SelectItems",
        "DeleteItems",
        "Identity",
        "ToDevice",
        "CopyItems",
        "ToNumpy",
    ]
)
"""Transforms that only load the image or change its type or place in memory."""
_NOTED = {
    "CropForeground": "the gateway does not crop to the foreground before the network",
    "SpatialPad": "small images are padded by the sliding window alone",
    "DivisiblePad": "small images are padded by the sliding window alone",
    "BorderPad": "the gateway pads no border",
}


@dataclass(frozen=True)
class MissingField:
    """A field of the spec that a model's description does not state, or not in a supported form.

    Attributes:
        path: Dotted path of the field, as ``patch.spacing``.
        text: Explanation for the user.
        flag: Command line flag that supplies the field.
    """

    path: str
    text: str
    flag: str


@dataclass
class Preprocessing:
    """What a bundle does to an image before the network.

    Attributes:
        axes: Directions of the network's axes, as ``RAS``; None: the order in which the file is stored.
        spacing: Spacing in mm along the network's axes; None if not stated.
        scaling: Scaling of intensities.
        resized: Size in voxels to which whole images are resized, along the network's axes; None if they are not.
        sigma: Sigma of the Gaussian around a click, in voxels; None: the network takes no clicks.
        clicked: Names of the labels that take clicks, in the order of their channels; empty if not stated.
        notes: Differences between the bundle's pipeline and the gateway's.
        missing: Fields that are missing or not supported.
    """

    axes: str | None = None
    spacing: tuple[float, float, float] | None = None
    scaling: LinearScaling = field(default_factory=LinearScaling)
    resized: tuple[int, int, int] | None = None
    sigma: float | None = None
    clicked: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)
    missing: list[MissingField] = field(default_factory=list)


def plain_name(target: object) -> str:
    """Return the name of a transform's class without its module and without the suffix of dictionary transforms."""
    name = str(target).rpartition(".")[2]
    if name in _NOTED:  # SpatialPad ends with a d of its own
        return name
    return re.sub(r"(d|D|Dict)$", "", name) if name[:1].isupper() else name


def steps(value: Any, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the names and arguments of the transforms for one key, in order, with Compose and lists unrolled.

    Anything that is not a transform comes with an empty name, and as text under ``_target_``.
    """
    if isinstance(value, list):
        for part in value:
            yield from steps(part, key)
    elif isinstance(value, Mapping) and not value.get("_disabled_"):
        name = plain_name(value.get("_target_", ""))
        if name == "Compose":
            yield from steps(value.get("transforms", []), key)
            return
        keys = value.get("keys", key)
        if not isinstance(keys, str | list | tuple) or key in ([keys] if isinstance(keys, str) else keys):
            yield name, dict(value)
    elif value is not None and not isinstance(value, Mapping):
        yield "", {"_target_": str(value)}


def read_preprocessing(value: Any, *, key: str, ignore: Collection[str] = ()) -> Preprocessing:
    """Read a bundle's preprocessing.

    Args:
        value: The config's resolved ``preprocessing``.
        key: Name of the image in it.
        ignore: Names of transforms to leave out.
    """
    result = Preprocessing()
    ignored = {plain_name(name) for name in ignore}
    for name, arguments in steps(value, key):
        if name not in _SILENT and name not in ignored:
            _step(result, name, arguments)
    return result


def three(value: Any, kind: type) -> tuple[Any, Any, Any] | None:
    """Return three positive numbers of a type, given three or one; None if the value is something else."""
    parts = list(value) if isinstance(value, list | tuple) else [value] * 3
    if len(parts) != 3 or not all(
        isinstance(part, int | float) and not isinstance(part, bool) and part > 0 for part in parts
    ):
        return None
    return kind(parts[0]), kind(parts[1]), kind(parts[2])


def _step(result: Preprocessing, name: str, arguments: dict[str, Any]) -> None:
    if name in _NOTED:
        result.notes.append(f"{name}: {_NOTED[name]}")
    elif name in INTENSITY_TRANSFORMS:
        try:
            result.scaling = apply_transform(name, arguments, result.scaling)
        except ScalingError as error:
            result.missing.append(
                MissingField("input.channels", f"preprocessing {name}: {error}", "--spec FILE with input.channels")
            )
    elif name == "Orientation":
        axes = "RAS" if arguments.get("as_closest_canonical") else arguments.get("axcodes")
        result.axes = axes if isinstance(axes, str) else None
    elif name == "Spacing":
        result.spacing = three(arguments.get("pixdim"), float)
        if result.spacing and result.axes is None and len(set(result.spacing)) > 1:
            result.missing.append(
                MissingField("patch.spacing", "Spacing before Orientation is along the axes as stored", "--spacing")
            )
    elif name == "Resize" and three(arguments.get("spatial_size"), int):
        result.resized = three(arguments["spatial_size"], int)
    elif "Guidance" in name and "Add" in name:
        _clicks(result, name, arguments)
    elif "Guidance" not in name:  # the other Guidance transforms move clicks with the image, as the gateway does
        label = name or arguments["_target_"]
        result.missing.append(
            MissingField("input.channels", f"preprocessing {label} is not supported", f"--ignore {label}")
        )


def _clicks(result: Preprocessing, name: str, arguments: dict[str, Any]) -> None:
    if isinstance(arguments.get("label_names"), Mapping | list):
        result.clicked = tuple(map(str, arguments["label_names"]))
    if "Signal" in name:
        sigma = arguments.get("sigma", 3)
        if isinstance(sigma, int | float) and sigma > 0:
            result.sigma = float(sigma)
        else:
            result.missing.append(
                MissingField("input.channels", f"{name} has no plain sigma", "--spec FILE with input.channels")
            )
