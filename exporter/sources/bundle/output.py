"""Read a bundle's inferer and postprocessing: windows, activation, and the decision between labels."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from exporter.sources.bundle.chain_reader import read_chain
from exporter.sources.bundle.data.transforms import Step
from exporter.sources.bundle.missing import MissingField

__all__ = ["Postprocessing", "read_postprocessing"]

_SILENT = frozenset(
    [
        "EnsureType",
        "CastToType",
        "SqueezeDim",
        "ToTensor",
        "Restore",
        "Identity",
        "ToDevice",
        "CopyItems",
        "SelectItems",
        "DeleteItems",
    ]
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
_FLOATS = (None, "float", "float16", "half", "float32", "float64", "double")
_ACTIVATIONS = ("sigmoid", "softmax", "dim")
_INVERT = ("transform", "orig_keys", "orig_meta_keys", "nearest_interp", "to_tensor")
_DISCRETE = (
    *("argmax", "to_onehot", "threshold", "rounding", "dim", "keepdim", "dtype"),
    *("logit_thresh", "threshold_values", "n_classes", "num_classes"),  # of MONAI before 1.0
)
_PATH, _FLAG = "output.exclusive", "--spec FILE with output: {exclusive, threshold} and network: {activation}"


@dataclass
class Postprocessing:
    """How the network's output becomes labels.

    Attributes:
        activation: Function that turns the output into probabilities; None if not stated.
        exclusive: Whether the label with the largest probability wins (argmax); None if not stated.
        restored: Whether the output was brought onto the image's grid.
        on_grid: Whether labels are decided before that.
        threshold: Threshold of labels that may overlap, after the activation; a probability if there is an activation,
            otherwise in the network's own units.
        notes: Differences between the bundle's pipeline and the gateway's.
        missing: Fields that are missing or not supported.
    """

    activation: Literal["softmax", "sigmoid"] | None = None
    exclusive: bool | None = None
    restored: bool = False
    on_grid: bool = False
    threshold: float = 0.5
    notes: list[str] = field(default_factory=list)
    missing: list[MissingField] = field(default_factory=list)

    @property
    def on_raw_output(self) -> bool:
        """Whether the threshold is compared with the network's own output."""
        return self.exclusive is False and self.activation is None

    @property
    def needs_background(self) -> bool:
        """Whether labels that may overlap come from a softmax, which needs the background beside them."""
        return self.exclusive is False and self.activation == "softmax"

    @property
    def label_activation(self) -> Literal["softmax", "sigmoid", "none"]:
        """Activation of labels that may overlap; a threshold that is no probability is compared with a sigmoid."""
        return self.activation or ("none" if 0 < self.threshold < 1 else "sigmoid")


def read_postprocessing(value: Any, *, key: str, ignore: Collection[str] = ()) -> Postprocessing:
    """Read a bundle's postprocessing.

    Args:
        value: The config's resolved ``postprocessing``.
        key: Name of the network's output in it.
        ignore: Names of transforms to leave out.
    """
    result = Postprocessing()
    read_chain(
        result,
        value,
        name="postprocessing",
        key=key,
        ignore=ignore,
        left_out="left out (--ignore)",
        place=lambda _: (_PATH, _FLAG),
        read=lambda step: _step(result, step),
    )
    if result.exclusive is None and result.activation is not None:
        result.exclusive = result.activation == "softmax"
        decision = "the largest wins" if result.exclusive else f"each by itself, from {result.threshold:g} on"
        result.notes.append(f"postprocessing: no AsDiscrete decides between labels: {decision}")
    if result.exclusive is False and result.activation is not None and not 0 < result.threshold < 1:
        text = f"the threshold {result.threshold:g} is not a probability between 0 and 1"
        result.missing.append(MissingField(_PATH, text, _FLAG))
    return result


def _step(result: Postprocessing, step: Step) -> None:
    """Take in one transform.

    Raises:
        UnknownValueError: An argument can be computed by running code only.
        ValueError: An argument is not supported.
    """
    if step.name in _SILENT:
        if result.exclusive is None and (dtype := step.for_key("dtype")) not in _FLOATS:
            raise ValueError(f"it casts the network's output to {dtype}, before labels are decided")
    elif step.name in ("Invert", "SaveImage"):
        _restore(result, step)
    elif step.name == "Activations":
        _require_along_channels(step, _ACTIVATIONS)
        activation: Literal["softmax", "sigmoid"] | None = None
        if bool(step.for_key("softmax", False)):
            activation = "softmax"
        if bool(step.for_key("sigmoid", False)):
            if activation:
                raise ValueError("sigmoid and softmax exclude each other")
            activation = "sigmoid"
        if activation and (result.activation or result.exclusive is not None):
            raise ValueError("it follows another activation or AsDiscrete")
        if activation and result.restored and not result.on_grid:
            result.notes.append(
                f"Invert: the bundle interpolates the network's output on the image's grid, the gateway {activation}"
            )
        result.activation = activation or result.activation
    elif step.name == "AsDiscrete":
        _discrete(result, step)
    elif step.name in _NOTED:
        result.notes.append(f"{step.name}: the gateway does not apply this to the output")
    else:
        result.missing.append(
            MissingField(
                _PATH,
                f"postprocessing {step.name} is not supported",
                f"--ignore {step.name}, if it does not change the labels",
            )
        )


def _restore(result: Postprocessing, step: Step) -> None:
    """Take in a step that brings the output onto the image's grid: what was decided before is not decided there.

    Raises:
        UnknownValueError: An argument can be computed by running code only.
        ValueError: An argument is not supported.
    """
    if result.restored or (step.name == "SaveImage" and not bool(step.for_key("resample", True))):
        return
    if step.name == "Invert" and step.unread(_INVERT):
        raise ValueError(f"{step.unread(_INVERT)} is not supported")
    nearest = step.name == "Invert" and bool(step.for_key("nearest_interp", True))
    decided = result.exclusive is not None
    # What is decided of the nearest values is the nearest of what is decided.
    result.restored, result.on_grid = True, decided or nearest
    if step.name == "Invert" and decided and not nearest:
        result.notes.append(
            "Invert: the bundle interpolates the numbers of labels, which makes other labels between two; the gateway "
            "takes the nearest label"
        )


def _require_along_channels(step: Step, read: tuple[str, ...]) -> None:
    """Refuse arguments that nobody reads, and another axis than that of the channels.

    Raises:
        UnknownValueError: An argument can be computed by running code only.
        ValueError: There is such an argument.
    """
    if step.unread(read):
        raise ValueError(f"{step.unread(read)} is not supported")
    if step.for_key("dim") not in (None, 0):
        raise ValueError(f"it goes along axis {step.for_key('dim')}, expected that of the channels, 0")


def _discrete(result: Postprocessing, step: Step) -> None:
    _require_along_channels(step, _DISCRETE)
    threshold = step.for_key("threshold", step.arguments.get("logit_thresh"))
    if isinstance(threshold, Mapping):
        raise ValueError(f"threshold {threshold} is not a number")
    rounded = step.for_key("rounding")
    legacy = step.for_key("threshold_values", False)
    argmax = bool(step.for_key("argmax", False))
    thresholded = threshold is not None and threshold is not False
    if result.exclusive is not None:
        if argmax or thresholded:
            raise ValueError("it decides between labels a second time")
        return  # the one-hot form of the labels
    if argmax:
        if thresholded and not legacy:
            raise ValueError("argmax and a threshold together are not supported")
        result.exclusive = True
    elif threshold is True:  # older configs have threshold_values, with a threshold of 0.5
        result.exclusive = False
    elif isinstance(threshold, int | float) and thresholded and math.isfinite(threshold):
        result.exclusive, result.threshold = False, float(threshold)
    elif rounded == "torchrounding" and not legacy:
        if result.activation is None:
            raise ValueError("rounding without an activation before it is not supported")
        result.exclusive = False
    elif bool(legacy):
        result.exclusive = False
    else:
        raise ValueError("it has no argmax and no threshold that is a number")
