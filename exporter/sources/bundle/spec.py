"""Derive a ModelSpec from a MONAI bundle, and name everything that the bundle does not state."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from exporter.sources.bundle.data.chains import AFTER, BEFORE, find_chain
from exporter.sources.bundle.inferer import Inferer, read_inferer
from exporter.sources.bundle.metadata import descriptive_fields, labels_of, network_format
from exporter.sources.bundle.missing import MissingField
from exporter.sources.bundle.network import input_channels, output_fields, read_network
from exporter.sources.bundle.output import Postprocessing, read_postprocessing
from exporter.sources.bundle.preprocessing import Preprocessing, read_preprocessing
from exporter.sources.bundle.source import Bundle
from exporter.sources.mapping import merge
from sixpoint.errors import InvalidArgument
from sixpoint.model_spec import ModelSpec

__all__ = ["DerivedSpec", "ModelDescription", "derive_spec", "read_bundle"]

_INTENSITY_LIMIT = 2.0**30
"""Half-width of the window for images that are not rescaled, in their own units; PET in Bq/ml stays far below."""
_MAX_LOGIT = 10.0
"""Beyond it the sigmoid of a threshold is nearly 0 or 1."""


@dataclass(frozen=True)
class DerivedSpec:
    """A spec derived from a model's own description.

    Attributes:
        spec: The spec.
        notes: Differences between the model's own pipeline and the gateway's.
    """

    spec: ModelSpec
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ModelDescription:
    """The parts of a model's own description, in the form of a MONAI config with references resolved.

    Attributes:
        name: Name of the description in errors.
        texts: Fields of the spec that are for people: title, description, licence, ...
        network: Name and arguments of the network.
        missing: Fields that are already known to be missing.
        labels: Names of the labels by their channel of the network's output, without background.
        preprocessing: List of transforms, or a Compose.
        inferer: The inferer.
        postprocessing: List of transforms, or a Compose.
        image_key: Name of the image in the transforms.
        output_key: Name of the network's output in the transforms.
        notes: Notes for the user.
    """

    name: str
    texts: Mapping[str, Any]
    network: Mapping[str, Any]
    missing: list[MissingField] = field(default_factory=list)
    labels: Mapping[int, str]
    preprocessing: Any
    inferer: Any
    postprocessing: Any
    image_key: str = "image"
    output_key: str = "pred"
    notes: tuple[str, ...] = ()


def read_bundle(bundle: Bundle, *, overrides: Mapping[str, Any], ignore: Collection[str] = ()) -> DerivedSpec:
    """Derive a spec from a bundle's metadata and config.

    Args:
        bundle: The bundle.
        overrides: What the user says of the spec, as nested mappings; takes precedence over the bundle.
        ignore: Names of transforms to leave out.

    Raises:
        InvalidArgument: Fields are missing or not supported; the error names each, with the flag that supplies it.
        ModelSpecError: Bundle and user together give an invalid spec.
    """
    missing: list[MissingField] = []
    network = read_network(bundle.config.get("network_def"), missing)
    if missing and bundle.scripted:  # the TorchScript file holds the network itself
        network, missing = {"name": "TorchScript"}, []
    image = network_format(bundle.metadata, "inputs", "image")
    output = network_format(bundle.metadata, "outputs", "pred")
    before = find_chain(bundle.config, "preprocessing", key=image.key, marks=BEFORE)
    after = find_chain(bundle.config, "postprocessing", key=output.key, marks=AFTER)
    if before.problem:
        missing.append(
            MissingField(
                "input.channels", before.problem, "--spec FILE with input.channels and network: {scale, offset}"
            )
        )
    description = ModelDescription(
        name=f"the bundle {bundle.name}",
        texts=descriptive_fields(bundle),
        network=network,
        missing=missing,
        labels=labels_of(output),
        preprocessing=before.value,
        inferer=bundle.config.get("inferer"),
        postprocessing=after.value,
        image_key=image.key,
        output_key=output.key,
        notes=tuple(chain.note for chain in (before, after) if chain.note),
    )
    return derive_spec(description, overrides=overrides, ignore=ignore)


def derive_spec(
    description: ModelDescription, *, overrides: Mapping[str, Any], ignore: Collection[str] = ()
) -> DerivedSpec:
    """Derive a spec from a model's description; arguments and errors as for :func:`read_bundle`."""
    before = read_preprocessing(description.preprocessing, key=description.image_key, ignore=ignore)
    inferer = read_inferer(description.inferer)
    after = read_postprocessing(description.postprocessing, key=description.output_key, ignore=ignore)
    network = description.network
    clicks = before.sigma is not None
    missing = [*description.missing, *before.missing, *(() if clicks else inferer.missing), *after.missing]
    axes = _value(overrides, "network.axes") or before.axes
    if axes is None:
        missing.append(
            MissingField("network.axes", "no Orientation gives the directions of the network's axes", "--axes, as RAS")
        )
    labels = _value(overrides, "labels") or list(description.labels.values())
    if not labels:
        missing.append(MissingField("labels", "nothing names the labels", "--labels NAME,NAME"))
    task_fields = _annotation if clicks else _segmentation
    mapping = {
        **description.texts,
        "labels": list(labels),
        **task_fields(before, inferer, axes=axes or "RAS", missing=missing),
    }
    channels = _value(overrides, "input.channels") or mapping["input"]["channels"]
    _check_channels(input_channels(network), len(channels), missing)
    if _value(overrides, "input.channels"):
        missing += _own_scaling(before)
    mapping["network"] = {**network, "axes": axes or "RAS", **_scaling(before, len(channels))}
    mapping["network"] |= output_fields(
        network, after, labels=labels, indices=tuple(description.labels), clicks=clicks, missing=missing
    )
    mapping["output"] = _output(after, clicks=clicks, missing=missing)
    if not clicks:
        mapping["patch"]["average"] = "probabilities" if after.needs_background else "logits"
        mapping["patch"]["labelled"] = "grid" if after.on_grid else "image"
    elif after.on_grid:
        before.notes.append("the bundle decides labels on the network's grid, the gateway on the image's voxels")
    problems = "; ".join(f"{item.text} ({item.flag})" for item in missing if _value(overrides, item.path) is None)
    if problems:
        raise InvalidArgument(f"{description.name} does not state everything that is needed: {problems}")
    notes = (*description.notes, *before.notes, *inferer.notes, *after.notes)
    return DerivedSpec(ModelSpec.from_mapping(merge(mapping, overrides)), notes)


def _annotation(before: Preprocessing, _inferer: Inferer, *, axes: str, missing: list[MissingField]) -> dict[str, Any]:
    """Return the fields of a DeepEdit-like network: the whole image, resized, with clicks on and beside the object."""
    objects = [name for name in before.clicked if name != "background"]
    if before.clicked and (len(objects) != 1 or len(before.clicked) != 2):
        text = f"clicks for {', '.join(before.clicked)}: only one object and background are supported"
        missing.append(MissingField("input.channels", text, "--spec FILE"))
    if before.resized is None:
        missing.append(MissingField("roi.size", "no Resize gives the network's grid", "--spec FILE with roi.size"))
    size = before.resized or (128, 128, 128)
    object_first = not before.clicked or before.clicked[0] != "background"
    # MONAI's Gaussian is integrated over each cell, which widens it by the variance of a cell.
    sigma = math.hypot(before.sigma, math.sqrt(1 / 12)) / min(size) if before.sigma else 0.03
    clicks = [
        {"kind": "clicks", "sign": sign, "sigma": sigma}
        for sign in (("positive", "negative") if object_first else ("negative", "positive"))
    ]
    if before.sigma and len(set(size)) > 1:
        text = f"clicks on a grid of {size}, expected a cube"
        missing.append(MissingField("input.channels", text, "--spec FILE with input.channels"))
    before.notes.append("the first click begins the object; the network sees the whole image, and clicks alone")
    return {
        "task": "annotation",
        "prompts": ["clicks"],
        "roi": _whole_image(before, _to_xyz(size, axes)),
        "input": {"dtype": _dtype(before), "channels": [_image_channel(before), *clicks]},
    }


def _whole_image(before: Preprocessing, size: list[int]) -> dict[str, Any]:
    """Return the ROI of a network that sees the whole image on a grid of ``size`` cells (x, y, z)."""
    if before.spacing is not None:
        before.notes.append("Spacing: the gateway resizes the image's own voxels, not those of another spacing")
    first = before.early and before.resized is not None
    how = {"resampling": before.resampling, "windowed_first": first, "click_placement": "cells"}
    return {"size": size, "whole": True, **how}


def _segmentation(before: Preprocessing, inferer: Inferer, *, axes: str, missing: list[MissingField]) -> dict[str, Any]:
    """Return the fields of a network that slides over a volume."""
    if before.spacing is None:
        missing.append(MissingField("patch.spacing", "no Spacing gives the network's grid", "--spacing X,Y,Z"))
    if before.resized is not None:
        text = "the whole image is resized, and only sliding windows are supported"
        missing.append(MissingField("patch.size", text, "--patch X,Y,Z"))
        before.notes.append("Resize: the gateway resamples to patch.spacing, whatever the image's size")
    elif inferer.size is None and not inferer.missing:
        missing.append(MissingField("patch.size", "the inferer gives no roi_size", "--patch X,Y,Z"))
    scaling = before.scaling
    return {
        "task": "segmentation",
        "prompts": [],
        "patch": {
            "size": _to_xyz(inferer.size or (96, 96, 96), axes),
            "spacing": _to_xyz(before.spacing or (1.0, 1.0, 1.0), axes),
            "overlap": inferer.overlap,
            "blend": inferer.blend,
            "sigma": inferer.sigma,
            "grid": "centres" if before.spacing else "faces",
            "windowed_first": before.early and before.spacing is not None,
            "padding": inferer.padding,
            "foreground": before.foreground_value(),
            "padding_value": (inferer.value - scaling.offset) / scaling.scale,
        },
        # Half precision would move labels where a network is sensitive, and the output is many times as large.
        "input": {"dtype": "FP32", "channels": [_image_channel(before)]},
    }


def _image_channel(before: Preprocessing) -> dict[str, Any]:
    """Return the image channel; for an image that is not rescaled, with a window wide enough to clip nothing."""
    intensity = before.scaling.intensity
    plain = {"method": "range", "low": -_INTENSITY_LIMIT, "high": _INTENSITY_LIMIT}
    return {"kind": "image", "intensity": intensity.model_dump() if intensity else plain}


def _dtype(before: Preprocessing) -> str:
    """Return the type of the input tensor: in half precision most numbers of a wide window would be the same."""
    return "FP32" if before.scaling.wide else "FP16"


def _output(after: Postprocessing, *, clicks: bool, missing: list[MissingField]) -> dict[str, Any]:
    """Return the decision between labels. Bytes are too coarse: labels that are nearly as probable would be equal."""
    if clicks:
        return {"threshold": after.threshold if 0 < after.threshold < 1 else 0.5}
    exclusive = after.exclusive is not False
    if exclusive or after.activation is not None:
        threshold = after.threshold if 0 < after.threshold < 1 else 0.5
        # Only the logits of a softmax may be shifted to where half precision is fine.
        dtype = "FP32" if after.activation == "sigmoid" else "FP16"
        return {"threshold": threshold, "exclusive": exclusive, "dtype": dtype}
    if after.label_activation == "none":
        return {"threshold": after.threshold, "exclusive": False, "dtype": "FP32"}
    if abs(after.threshold) > _MAX_LOGIT:
        text = f"the threshold {after.threshold:g} on the network's own output is outside -10 to 10"
        flag = "--spec FILE with output: {threshold} and network: {activation}"
        missing.append(MissingField("output.threshold", text, flag))
        return {"exclusive": False}
    return {"threshold": 1.0 / (1.0 + math.exp(-after.threshold)), "exclusive": False, "dtype": "FP32"}


def _own_scaling(before: Preprocessing) -> list[MissingField]:
    """Return the scaling as missing if the user gives a window for intensities that the bundle does not state."""
    if before.scaling.intensity is not None and not any(field.path == "input.channels" for field in before.missing):
        return []
    text = "the intensities that input.channels become in the network (-1..1 times scale, plus offset)"
    return [MissingField("network.scale", text, "--spec FILE with network: {scale, offset}")]


def _scaling(before: Preprocessing, channels: int) -> dict[str, Any]:
    """Return scale and offset of every channel; click channels are 0 to 1 already."""
    scaling = before.scaling
    scale = scaling.scale if scaling.intensity else _INTENSITY_LIMIT
    return {"scale": [scale, *[1.0] * (channels - 1)], "offset": [scaling.offset, *[0.0] * (channels - 1)]}


def _to_xyz(values: tuple[Any, Any, Any], axes: str) -> list[Any]:
    """Reorder three values from the network's axes to the patient's (x, y, z)."""
    return [
        next(value for value, axis in zip(values, axes, strict=True) if axis in pair) for pair in ("LR", "PA", "SI")
    ]


def _check_channels(expected: int | None, available: int, missing: list[MissingField]) -> None:
    if expected is not None and expected != available:
        missing.append(
            MissingField(
                "input.channels",
                f"the network takes {expected} channels, and one image gives {available}",
                "--spec FILE with input.channels",
            )
        )


def _value(overrides: Mapping[str, Any], path: str) -> Any:
    """Return the user's value at a dotted path; None if there is none."""
    value: Any = overrides
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
