"""What a bundle's preprocessing says: axes, spacing, numbers, clicks; and what of it is not understood."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from exporter.sources.bundle.intensity import INTENSITY_TRANSFORMS, LinearScaling, ScalingError, apply

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
"""What reads the image, or changes its type or place in memory only."""
_NOTED = {
    "CropForeground": "the gateway does not crop to the foreground before the network",
    "SpatialPad": "small images are padded by the sliding window alone",
    "DivisiblePad": "small images are padded by the sliding window alone",
    "BorderPad": "the gateway pads no border",
}


@dataclass(frozen=True)
class MissingField:
    """Something that a bundle does not say, or not in words that are understood.

    Attributes:
        path: The spec's field that would say it, as ``patch.spacing``.
        text: What is missing.
        flag: What supplies it.
    """

    path: str
    text: str
    flag: str


@dataclass
class Preprocessing:
    """What was understood.

    Attributes:
        axes: Where the network's axes lead, as ``RAS``; None: as the file happened to be stored.
        spacing: Millimetres along the network's axes.
        numbers: What the network's numbers are.
        resized: The size to which whole images are resized, along the network's axes.
        sigma: Of the Gaussian round a click, in voxels; None: the network sees no clicks.
        clicked: Names of the labels that clicks are given for, in the order of their channels; empty: not said.
        notes: What the gateway does otherwise.
        gaps: What is not understood.
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
    """The name of a transform's class without its module, and without the ending of those for dictionaries."""
    name = str(target).rpartition(".")[2]
    if name in _NOTED:  # SpatialPad, which ends with a d of its own
        return name
    return re.sub(r"(d|D|Dict)$", "", name) if name[:1].isupper() else name


def steps(value: Any, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Names and arguments of the transforms for one key, in their order; Compose and lists unrolled.

    What is none comes with an empty name, under ``_target_``.
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
    """Understand a bundle's preprocessing.

    Args:
        value: The config's ``preprocessing``, resolved.
        key: The image's.
        ignore: Names of transforms to leave out.
    """
    result = Preprocessing()
    ignored = {plain_name(name) for name in ignore}
    for name, arguments in steps(value, key):
        if name not in _SILENT and name not in ignored:
            _step(result, name, arguments)
    return result


def three(value: Any, kind: type) -> tuple[Any, Any, Any] | None:
    """Three positive numbers of a kind, from three or one; None where it is something else."""
    parts = list(value) if isinstance(value, list | tuple) else [value] * 3
    if len(parts) != 3 or not all(
        isinstance(one, int | float) and not isinstance(one, bool) and one > 0 for one in parts
    ):
        return None
    return kind(parts[0]), kind(parts[1]), kind(parts[2])


def _step(result: Preprocessing, name: str, arguments: dict[str, Any]) -> None:
    if name in _NOTED:
        result.notes.append(f"{name}: {_NOTED[name]}")
    elif name in INTENSITY_TRANSFORMS:
        try:
            result.scaling = apply(name, arguments, result.scaling)
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
                MissingField("patch.spacing", "Spacing before Orientation is along axes as stored", "--spacing")
            )
    elif name == "Resize" and three(arguments.get("spatial_size"), int):
        result.resized = three(arguments["spatial_size"], int)
    elif "Guidance" in name and "Add" in name:
        _clicks(result, name, arguments)
    elif "Guidance" not in name:  # the others move clicks along with the image, as the gateway does
        shown = name or arguments["_target_"]
        result.missing.append(
            MissingField("input.channels", f"preprocessing {shown} is not understood", f"--ignore {shown}")
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
