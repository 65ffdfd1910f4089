"""Read a bundle's preprocessing: axes, spacing, intensities and clicks."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from exporter.sources.bundle.chain_reader import read_chain
from exporter.sources.bundle.data.transforms import Step
from exporter.sources.bundle.intensity import (
    INTENSITY_TRANSFORMS,
    LinearScaling,
    ScalingError,
    apply_transform,
    takes_statistics,
)
from exporter.sources.bundle.missing import MissingField

__all__ = ["Preprocessing", "read_preprocessing", "three"]

_SILENT = frozenset(
    [
        *("LoadImage", "EnsureChannelFirst", "AddChannel", "AsChannelFirst", "EnsureType", "ToTensor", "CastToType"),
        *("SelectItems", "DeleteItems", "Identity", "ToDevice", "CopyItems", "ToNumpy"),
    ]
)
"""Transforms that only load the image or change its type or place in memory."""
_FLOATS = (None, "float", "float32", "float64", "double")
_NOTED = {
    "CropForeground": "the gateway does not crop to the foreground before the network",
    "SpatialPad": "small images are padded by the sliding window alone",
    "DivisiblePad": "small images are padded by the sliding window alone",
    "BorderPad": "the gateway pads no border",
}
_CROP = ("source_key", "mode", "start_coord_key", "end_coord_key", "allow_smaller", "k_divisible", "margin")
"""Arguments of CropForeground; without a margin the modes of padding have no effect."""
_PAIRS = {axis: pair for pair in ("LR", "AP", "IS") for axis in pair}
_LOADING = (
    *("image_only", "simple_keys", "overwriting", "prune_meta_pattern", "prune_meta_sep", "expanduser"),
    *("reader", "dtype", "ensure_channel_first", "squeeze_non_spatial_dims"),
)
_READERS = ("none", "itkreader", "nibabelreader", "pydicomreader", "nrrdreader")
"""Classes that read an image as the gateway does, whatever else they are told."""
_RESIZE_MODES = {"area": "area", "linear": "trilinear", "bilinear": "trilinear", "trilinear": "trilinear"}
"""Modes of Resize, as MONAI names them for three axes, and ``roi.resampling`` of the spec."""
_CHANNELS = "--spec FILE with input.channels and network: {scale, offset}"


@dataclass
class Preprocessing:
    """What a bundle does to an image before the network.

    Attributes:
        axes: Directions of the network's axes, as ``RAS``; None: the order in which the file is stored.
        spacing: Spacing in mm along the network's axes; None if not stated.
        scaling: Scaling of intensities.
        resized: Size in voxels to which whole images are resized, along the network's axes; None if they are not.
        resampling: How they are, as ``roi.resampling`` of the spec.
        sigma: Sigma of the Gaussian around a click, in voxels; None: the network takes no clicks.
        clicked: Names of the labels that take clicks, in the order of their channels; empty if not stated.
        early: Whether statistics are taken or values clipped before the image is resampled.
        foreground: Scaling of intensities when the image was cropped to what lies above 0; None: it was not.
        cropped: Name of the last transform that removes or adds voxels; empty if there is none.
        without_place: Name of the last transform that drops spacing and axes; empty if there is none.
        notes: Differences between the bundle's pipeline and the gateway's.
        missing: Fields that are missing or not supported.
    """

    axes: str | None = None
    spacing: tuple[float, float, float] | None = None
    scaling: LinearScaling = field(default_factory=LinearScaling)
    resized: tuple[int, int, int] | None = None
    resampling: str = "smoothed"
    sigma: float | None = None
    clicked: tuple[str, ...] = ()
    early: bool = False
    foreground: LinearScaling | None = None
    cropped: str = ""
    without_place: str = ""
    notes: list[str] = field(default_factory=list)
    missing: list[MissingField] = field(default_factory=list)

    def foreground_value(self) -> float | None:
        """Return the value of the final window, -1 to 1, that was 0 when the image was cropped to what lies above."""
        before, now, value = self.foreground, self.scaling.intensity, None
        if before is None:
            return None
        if before.intensity is not None and before.intensity == now:
            value = -before.offset / before.scale
        elif before.intensity is None and now is not None and now.method == "range":
            value = -(now.low + now.high) / (now.high - now.low)
        if value is None or not -1 <= value < 1:
            self.notes.append(f"CropForeground: {_NOTED['CropForeground']}")
            return None
        return value


def read_preprocessing(value: Any, *, key: str, ignore: Collection[str] = ()) -> Preprocessing:
    """Read a bundle's preprocessing.

    Args:
        value: The config's resolved ``preprocessing``.
        key: Name of the image in it.
        ignore: Names of transforms to leave out.
    """
    result = Preprocessing()
    read_chain(
        result,
        value,
        name="preprocessing",
        key=key,
        ignore=ignore,
        left_out="left out (--ignore), though the network may have been trained with it",
        place=_place,
        read=lambda step: _step(result, step),
    )
    return result


def three(value: Any, kind: type) -> tuple[Any, Any, Any] | None:
    """Return three positive numbers of a type, given three or one; None if the value is something else."""
    parts = list(value) if isinstance(value, list | tuple) else [value] * 3
    if len(parts) != 3 or not all(
        isinstance(part, int | float) and not isinstance(part, bool) and part > 0 for part in parts
    ):
        return None
    return kind(parts[0]), kind(parts[1]), kind(parts[2])


def _place(step: Step) -> tuple[str, str]:
    """Return the spec's field that a transform is for, and the flag that supplies it."""
    places = {
        "Orientation": ("network.axes", "--axes, as RAS"),
        "Spacing": ("patch.grid", "--spec FILE with patch: {spacing, grid}"),
        "Resize": ("roi.resampling", "--spec FILE with roi: {size, resampling}"),
    }
    return places.get(step.name, ("input.channels", _CHANNELS))


def _step(result: Preprocessing, step: Step) -> None:
    """Take in one transform.

    Raises:
        UnknownValueError: An argument can be computed by running code only.
        ValueError: An argument is not supported.
        ScalingError: The chain of intensity transforms has no equivalent in a spec.
    """
    name = step.name
    if name in _SILENT:
        if (dtype := step.for_key("dtype")) not in _FLOATS:
            raise ValueError(f"it casts the image to {dtype}, expected float32")
        _loading(step)
        if _drops_place(step):
            result.without_place = name
    elif name == "CropForeground" and _crops_itself(result, step):
        result.foreground, result.cropped = result.scaling, name
    elif name in _NOTED:
        result.notes.append(f"{name}: {_NOTED[name]}")
        result.cropped = name
    elif name in INTENSITY_TRANSFORMS:
        _intensity(result, step)
    elif name == "Orientation":
        _orientation(result, step)
    elif name == "Spacing":
        _spacing(result, step)
    elif name == "Resize":
        _resize(result, step)
    elif "Guidance" in name and "Add" in name:
        _clicks(result, step)
    elif "Guidance" not in name:  # the other Guidance transforms move clicks with the image, as the gateway does
        result.missing.append(
            MissingField(
                *("input.channels", f"preprocessing {name} is not supported, and the network may need it"),
                f"--ignore {name}, if it changes nothing that the network sees",
            )
        )


def _crops_itself(result: Preprocessing, step: Step) -> bool:
    """Whether a crop is to the image's own foreground, and after Spacing: before it, it would move MONAI's grid."""
    keys = step.get("keys")
    image = keys[step.index] if isinstance(keys, list | tuple) else keys
    own = step.get("source_key", image) == image
    plain = not step.unread(_CROP) and step.get("k_divisible", 1) == 1 and not step.get("margin", 0)
    return own and plain and result.spacing is not None and not result.cropped


def _drops_place(step: Step) -> bool:
    """Whether a transform makes a plain array of the image, which has neither spacing nor axes in MONAI."""
    tracked = step.get("track_meta")
    if step.name == "EnsureType":
        return str(step.get("data_type")) == "numpy" or tracked is False
    return step.name == "ToNumpy" or (step.name == "ToTensor" and tracked is not True)


def _require_place(result: Preprocessing) -> None:
    if result.without_place:
        raise ValueError(f"it follows {result.without_place}, after which MONAI knows neither spacing nor axes")


def _loading(step: Step) -> None:
    """Refuse arguments by which an image is loaded in another way than the gateway does.

    Raises:
        UnknownValueError: An argument can be computed by running code only.
        ValueError: There is such an argument.
    """
    if step.name == "LoadImage":
        if step.unread(_LOADING):
            raise ValueError(f"{step.unread(_LOADING)} is not supported")
        reader = str(step.arguments.get("reader"))  # perhaps an expression that names a class of MONAI
        if reader.rpartition(".")[2].lower() not in _READERS:
            raise ValueError(f"reader {reader} is not supported")
    elif step.name == "EnsureChannelFirst" and step.get("channel_dim") not in (None, "no_channel"):
        raise ValueError(f"channel_dim {step.get('channel_dim')} takes an axis of the image for its channels")


def _intensity(result: Preprocessing, step: Step) -> None:
    scaling = apply_transform(step, result.scaling)
    if result.cropped and takes_statistics(step):
        raise ScalingError(f"it takes statistics after {result.cropped}, which the gateway does not apply")
    # A shift and a factor give the same before and after resampling, statistics and clipping do not.
    if takes_statistics(step) or (scaling.clipped and not result.scaling.clipped):
        if result.spacing is None and result.resized is None:
            result.early = True
        elif result.early:
            place = "Spacing" if result.resized is None else "Resize"
            raise ScalingError(f"it takes statistics or clips after {place}, and another transform does before it")
    if result.spacing is not None and scaling.nonzero and not result.scaling.nonzero:
        result.notes.append(
            f"{step.name}: the last bit decides which resampled voxels are exactly 0, as MONAI's with AVX2 and float64"
        )
    result.scaling = scaling


def _orientation(result: Preprocessing, step: Step) -> None:
    _require_place(result)
    closest = bool(step.get("as_closest_canonical", False))
    axes = "RAS" if closest else step.get("axcodes")
    if unread := step.unread(("axcodes", "as_closest_canonical", "labels")):
        raise ValueError(f"{unread} is not supported")
    axes = "".join(map(str, axes)) if isinstance(axes, list | tuple) else axes
    if axes is not None and (
        not isinstance(axes, str) or sorted(_PAIRS.get(axis, "") for axis in axes) != ["AP", "IS", "LR"]
    ):
        raise ValueError(f"{axes} does not give the directions of three axes, as RAS")
    uneven = len(set(result.spacing or ())) > 1 or len(set(result.resized or ())) > 1
    if uneven and result.axes not in (None, axes):
        raise ValueError("it follows Spacing or Resize, and another Orientation before that")
    if result.spacing and result.axes is None:
        result.notes.append(
            "Spacing: it comes before Orientation, so that the bundle's grid begins in the corner of the image as "
            "stored, the gateway's in that of the network's axes"
        )
    result.axes = axes if isinstance(axes, str) else None


def _spacing(result: Preprocessing, step: Step) -> None:
    _require_place(result)
    if unread := step.unread(("pixdim", "mode", "padding_mode", "align_corners", "dtype", "ensure_same_shape")):
        raise ValueError(f"{unread} is not supported")
    if step.for_key("mode", "bilinear") not in ("bilinear", 1):
        raise ValueError(f"mode {step.for_key('mode')} is not supported, expected bilinear")
    if step.for_key("padding_mode", "border") not in ("border", "nearest"):
        raise ValueError(f"padding_mode {step.for_key('padding_mode')} is not supported, expected border")
    spacing = three(step.get("pixdim"), float)
    if result.spacing not in (None, spacing):
        raise ValueError("it resamples the image a second time")
    result.spacing = spacing
    if spacing and result.axes is None and len(set(spacing)) > 1:
        raise ValueError("Spacing before Orientation is along the axes as stored")


def _resize(result: Preprocessing, step: Step) -> None:
    if unread := step.unread(("spatial_size", "size_mode", "mode", "dtype")):
        raise ValueError(f"{unread} is not supported")
    size, mode = three(step.get("spatial_size"), int), step.for_key("mode", "area")
    if size is None or step.get("size_mode", "all") != "all":
        raise ValueError(f"spatial_size {step.get('spatial_size')} does not give three sizes in voxels")
    if mode not in _RESIZE_MODES:
        raise ValueError(f"mode {mode} is not supported, expected area or trilinear")
    if step.for_key("dtype") not in _FLOATS:
        raise ValueError(f"it casts the image to {step.for_key('dtype')}, expected float32")
    if result.resized is not None:
        raise ValueError("it resizes the image a second time")
    if result.axes is None and len(set(size)) > 1:
        raise ValueError("Resize before Orientation is along the axes as stored")
    result.resized, result.resampling = size, _RESIZE_MODES[mode]


def _clicks(result: Preprocessing, step: Step) -> None:
    names = step.get("label_names")
    if isinstance(names, Mapping | list):
        result.clicked = tuple(map(str, names))
    if "Signal" in step.name:
        sigma = step.get("sigma", 3)
        if not isinstance(sigma, int | float) or not sigma > 0:
            raise ValueError(f"its sigma is {sigma}, expected a positive number")
        result.sigma = float(sigma)
