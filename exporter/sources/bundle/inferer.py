"""Read a bundle's inferer: the windows that slide over a volume."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from exporter.sources.bundle.data.expression import UnknownValueError
from exporter.sources.bundle.data.transforms import Step, plain_name
from exporter.sources.bundle.missing import MissingField
from exporter.sources.bundle.preprocessing import three

__all__ = ["Inferer", "read_inferer"]

_WINDOWS = ("SlidingWindowInferer", "SlidingWindowInfererAdapt")
_READ = (
    *("roi_size", "overlap", "mode", "sigma_scale", "padding_mode", "cval"),
    # Where and in how many steps the windows are computed.
    *("sw_batch_size", "sw_device", "progress", "cache_roi_weight_map", "cpu_thresh", "buffer_steps", "buffer_dim"),
)
_FLAG = "--spec FILE with patch: {overlap, blend}"


@dataclass
class Inferer:
    """How the network slides over a volume.

    Attributes:
        size: Size of a window in voxels, along the network's axes; None if not stated.
        overlap: Overlap of neighbouring windows, as a fraction of a window's edge.
        blend: Weighting of voxels where windows overlap.
        sigma: Standard deviation of Gaussian weights, as a fraction of a window's edge.
        padding: Padding of volumes smaller than a window.
        value: Value of constant padding, in the network's intensities.
        notes: Differences between the bundle's pipeline and the gateway's.
        missing: Fields that are missing or not supported.
    """

    size: tuple[int, int, int] | None = None
    overlap: float = 0.25
    blend: Literal["gaussian", "constant"] = "constant"
    sigma: float = 0.125
    padding: Literal["constant", "replicate"] = "constant"
    value: float = 0.0
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
        result.missing.append(
            MissingField("patch.size", "SimpleInferer gives the network whole images, not windows", "--patch X,Y,Z")
        )
        return result
    if name not in _WINDOWS:
        result.missing.append(MissingField("patch.size", f"inferer {name} is not supported", "--patch X,Y,Z"))
        result.missing.append(MissingField("patch.overlap", "nothing states how windows overlap", _FLAG))
        return result
    step = Step(name, value)
    for path, read in (
        ("patch.size", _size),
        ("patch.overlap", _overlap),
        ("patch.blend", _blend),
        ("patch.padding", _padding),
    ):
        try:
            read(result, step)
        except UnknownValueError as error:
            text = f"the inferer's {error.text} can be computed by running code only"
            result.missing.append(MissingField(path, text, f"--spec FILE with {path}"))
        except ValueError as error:
            result.missing.append(MissingField(path, f"the inferer's {error}", f"--spec FILE with {path}"))
    return result


def _size(result: Inferer, step: Step) -> None:
    result.size = three(step.get("roi_size"), int)


def _overlap(result: Inferer, step: Step) -> None:
    overlap = step.get("overlap", 0.25)
    if isinstance(overlap, list | tuple):
        if len(set(overlap)) != 1:
            raise ValueError(f"overlap {list(overlap)} differs between axes, expected one number")
        overlap = overlap[0]
    if isinstance(overlap, bool) or not isinstance(overlap, int | float) or not 0 <= overlap < 1:
        raise ValueError(f"overlap {overlap} is not a fraction")
    result.overlap = float(overlap)


def _blend(result: Inferer, step: Step) -> None:
    mode, sigma = step.get("mode", "constant"), step.get("sigma_scale", 0.125)
    if mode not in ("gaussian", "constant"):
        raise ValueError(f"mode {mode} is not supported, expected constant or gaussian")
    result.blend = mode
    if isinstance(sigma, list | tuple):
        if len(set(sigma)) != 1:
            raise ValueError(f"sigma_scale {list(sigma)} differs between axes, expected one number")
        sigma = sigma[0]
    if isinstance(sigma, bool) or not isinstance(sigma, int | float) or not sigma > 0:
        raise ValueError(f"sigma_scale {sigma} is not a positive number")
    result.sigma = float(sigma)


def _padding(result: Inferer, step: Step) -> None:
    if step.unread(_READ):
        raise ValueError(f"{step.unread(_READ)} is not supported")
    mode, value = step.get("padding_mode", "constant"), step.get("cval", 0.0)
    if mode not in ("constant", "replicate"):
        raise ValueError(f"padding_mode {mode} is not supported, expected constant or replicate")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"cval {value} is not a number")
    result.padding, result.value = mode, float(value)
