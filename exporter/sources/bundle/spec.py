"""From a MONAI bundle to a ModelSpec: what it says is taken over, what it leaves out is asked for by name."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exporter.sources.bundle.metadata import descriptive_fields, labels_of, network_format
from exporter.sources.bundle.network import kept_channels, read_network, seen_channels
from exporter.sources.bundle.output import Inferer, read_inferer, read_postprocessing
from exporter.sources.bundle.preprocessing import MissingField, Preprocessing, read_preprocessing
from exporter.sources.bundle.source import Bundle
from sixpoint.errors import InvalidArgument
from sixpoint.model_spec import ModelSpec

__all__ = ["DerivedSpec", "ModelDescription", "derive_spec", "merge", "read_bundle"]

_LARGEST = 32768.0


@dataclass(frozen=True)
class DerivedSpec:
    """A bundle, understood.

    Attributes:
        spec: What it says.
        notes: What the gateway does otherwise than the bundle.
    """

    spec: ModelSpec
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ModelDescription:
    """What a description of a model is made of, whoever wrote it; every value resolved.

    Attributes:
        name: What to call it in errors.
        described: Fields of the spec that are for people.
        network: Name and arguments of the network, and what is not understood of them.
        labels: Names of the labels by their channel of the network's output, background left out.
        preprocessing: A list of transforms, or a Compose.
        inferer: As a bundle's.
        postprocessing: As ``preprocessing``.
        keys: Of image and answer, as the transforms name them.
    """

    name: str
    described: Mapping[str, Any]
    network: tuple[Mapping[str, Any], Sequence[MissingField]]
    labels: Mapping[int, str]
    preprocessing: Any
    inferer: Any
    postprocessing: Any
    keys: tuple[str, str] = ("image", "pred")


def read_bundle(bundle: Bundle, *, overrides: Mapping[str, Any], ignore: Collection[str] = ()) -> DerivedSpec:
    """Turn a bundle's config into a spec.

    Args:
        bundle: The bundle.
        overrides: What the user says of the spec, as nested mappings; it comes before what the bundle says.
        ignore: Names of transforms that may be left out.

    Raises:
        InvalidArgument: Something is missing, or not understood: every such thing is named, with what supplies it.
        ModelSpecError: Bundle and user together make no valid spec.
    """
    gaps: list[MissingField] = []
    network = read_network(bundle.config.get("network_def"), gaps)
    if gaps and bundle.scripted:  # the file holds the network itself
        network, gaps = {"name": "TorchScript"}, []
    image = network_format(bundle.metadata, "inputs", "image")
    output = network_format(bundle.metadata, "outputs", "pred")
    parts = ModelDescription(
        name=f"the bundle {bundle.name}",
        described=descriptive_fields(bundle),
        network=(network, gaps),
        labels=labels_of(output),
        preprocessing=bundle.config.get("preprocessing"),
        inferer=bundle.config.get("inferer"),
        postprocessing=bundle.config.get("postprocessing"),
        keys=(image.key, output.key),
    )
    return derive_spec(parts, overrides=overrides, ignore=ignore)


def derive_spec(parts: ModelDescription, *, overrides: Mapping[str, Any], ignore: Collection[str] = ()) -> DerivedSpec:
    """Turn a description's parts into a spec; arguments and errors as of :func:`read_bundle`."""
    before = read_preprocessing(parts.preprocessing, key=parts.keys[0], ignore=ignore)
    inferer = read_inferer(parts.inferer)
    after = read_postprocessing(parts.postprocessing, key=parts.keys[1], ignore=ignore)
    network, others = parts.network
    clicked = before.sigma is not None
    gaps = [*others, *before.missing, *(() if clicked else inferer.missing), *after.missing]
    axes = _value(overrides, "network.axes") or before.axes
    if axes is None:
        gaps.append(MissingField("network.axes", "no Orientation says where the network's axes lead", "--axes, as RAS"))
    labels = _value(overrides, "labels") or list(parts.labels.values())
    if not labels:
        gaps.append(MissingField("labels", "nothing names the labels", "--labels NAME,NAME"))
    part = _annotation if clicked else _segmentation
    mapping = {**parts.described, "labels": list(labels), **part(before, inferer, axes=axes or "RAS", gaps=gaps)}
    mapping["output"] = {"threshold": after.threshold, "exclusive": clicked or after.exclusive is not False}
    channels = _value(overrides, "input.channels") or mapping["input"]["channels"]
    _check_seen(seen_channels(network), len(channels), gaps)
    mapping["network"] = {**network, "axes": axes or "RAS", **_numbers(before, len(channels))}
    indices = tuple(parts.labels)
    mapping["network"] |= kept_channels(network, after, labels=labels, indices=indices, clicked=clicked, gaps=gaps)
    missing = "; ".join(f"{gap.text} ({gap.flag})" for gap in gaps if _value(overrides, gap.path) is None)
    if missing:
        raise InvalidArgument(f"{parts.name} does not say all that is needed: {missing}")
    return DerivedSpec(ModelSpec.from_mapping(merge(mapping, overrides)), (*before.notes, *inferer.notes, *after.notes))


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Two nested mappings as one, where the second comes before the first; lists are taken whole."""
    result = dict(base)
    for key, value in over.items():
        mine = result.get(key)
        result[key] = merge(mine, value) if isinstance(mine, Mapping) and isinstance(value, Mapping) else value
    return result


def _annotation(before: Preprocessing, _inferer: Inferer, *, axes: str, gaps: list[MissingField]) -> dict[str, Any]:
    """Of a network in the manner of DeepEdit: the whole image resized, clicks on the object and beside it."""
    objects = [name for name in before.clicked if name != "background"]
    if before.clicked and (len(objects) != 1 or len(before.clicked) != 2):
        gaps.append(
            MissingField(
                "input.channels",
                f"clicks for {', '.join(before.clicked)}: one object and background are understood",
                "--spec FILE",
            )
        )
    if before.resized is None:
        gaps.append(
            MissingField("roi.size", "no Resize says on what grid the network sees it", "--spec FILE with roi.size")
        )
    size = before.resized or (128, 128, 128)
    first = not before.clicked or before.clicked[0] != "background"
    clicks = [
        {"kind": "clicks", "sign": sign, "sigma": before.sigma / min(size) if before.sigma else 0.03}
        for sign in (("positive", "negative") if first else ("negative", "positive"))
    ]
    if before.sigma and len(set(size)) > 1:
        gaps.append(
            MissingField(
                "input.channels", f"clicks on a grid of {size}, which is no cube", "--spec FILE with input.channels"
            )
        )
    before.notes.append("the first click begins the object; the network sees the whole image, and clicks alone")
    return {
        "task": "annotation",
        "prompts": ["clicks"],
        "roi": {"size": _patient(size, axes), "whole": True},
        "input": {"channels": [_image(before), *clicks]},
    }


def _segmentation(before: Preprocessing, inferer: Inferer, *, axes: str, gaps: list[MissingField]) -> dict[str, Any]:
    if before.spacing is None:
        gaps.append(
            MissingField("patch.spacing", "no Spacing says on what grid the network sees the image", "--spacing X,Y,Z")
        )
    if before.resized is not None:
        gaps.append(
            MissingField(
                "patch.size", "the whole image is resized, and windows are what is understood", "--patch X,Y,Z"
            )
        )
    elif inferer.size is None and not inferer.missing:
        gaps.append(MissingField("patch.size", "the inferer gives no roi_size", "--patch X,Y,Z"))
    numbers = before.scaling
    return {
        "task": "segmentation",
        "prompts": [],
        "patch": {
            "size": _patient(inferer.size or (96, 96, 96), axes),
            "spacing": _patient(before.spacing or (1.0, 1.0, 1.0), axes),
            "overlap": inferer.overlap,
            "blend": inferer.blend,
            "padding": inferer.padding,
            "padding_value": min(max((inferer.value - numbers.offset) / numbers.scale, -1.0), 1.0),
        },
        "input": {"channels": [_image(before)]},
    }


def _image(before: Preprocessing) -> dict[str, Any]:
    """The image channel; where nothing is done to the image, a window that clips nothing an image may hold."""
    intensity = before.scaling.intensity
    plain = {"method": "range", "low": -_LARGEST, "high": _LARGEST}
    return {"kind": "image", "intensity": intensity.model_dump() if intensity else plain}


def _numbers(before: Preprocessing, count: int) -> dict[str, Any]:
    """What the graph makes of the image channel; clicks are 0 to 1 already."""
    numbers = before.scaling
    scale = numbers.scale if numbers.intensity else _LARGEST
    return {"scale": [scale, *[1.0] * (count - 1)], "offset": [numbers.offset, *[0.0] * (count - 1)]}


def _patient(values: tuple[Any, Any, Any], axes: str) -> list[Any]:
    """Three values along the network's axes as those along the patient's (x, y, z)."""
    return [
        next(value for value, axis in zip(values, axes, strict=True) if axis in pair) for pair in ("LR", "PA", "SI")
    ]


def _check_seen(wanted: int | None, made: int, gaps: list[MissingField]) -> None:
    if wanted is not None and wanted != made:
        gaps.append(
            MissingField(
                "input.channels",
                f"the network sees {wanted} channels, and {made} can be made of one image",
                "--spec FILE with input.channels",
            )
        )


def _value(given: Mapping[str, Any], path: str) -> Any:
    """What the user said at a path; None where nothing."""
    value: Any = given
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
