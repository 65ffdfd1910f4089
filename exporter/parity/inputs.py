"""Inputs on which the forms of a model are compared, made from an image as the gateway makes them."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from sixpoint._typing import Array, Floating, Points, Size, Vector
from sixpoint.errors import InvalidArgument
from sixpoint.model_spec import Intensity, ModelSpec, SegmentationSpec
from sixpoint.phantom import make_phantom
from sixpoint.preprocessing import (
    BlockMeans,
    PromptGuidance,
    Roi,
    allocate_input,
    network_input,
    volume_channels,
    volume_input,
    write_guidance_channels,
    write_roi_channels,
)
from sixpoint.prompts import ExtremePoints
from sixpoint.volume import Volume, check_voxels

__all__ = ["ParityInputs", "network_inputs", "parity_inputs", "synthetic_batch"]


# A large and a small organ of the phantom.
_ORGANS = ("liver", "kidney_left")
# Extents of the ellipsoids prompted for in an image without labels, as fractions of its extent.
_FRACTIONS = (0.5, 0.25)


@dataclass(frozen=True, eq=False)
class ParityInputs:
    """Inputs of one model and their origin.

    Attributes:
        source: Origin: "image", "phantom" or "calibration".
        batch: Inputs [batch, channel, z, y, x].
    """

    source: str
    batch: Array

    @property
    def digest(self) -> str:
        """SHA-256 of the inputs; two reports with the same digest are comparable."""
        return hashlib.sha256(np.ascontiguousarray(self.batch).tobytes()).hexdigest()

    def to_npz(self, expected: Array) -> bytes:
        """Return a NumPy archive (.npz) of the inputs and the expected outputs [batch, label, z, y, x]."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, source=np.array(self.source), batch=self.batch, expected=expected)
        return buffer.getvalue()

    @classmethod
    def from_npz(cls, content: bytes) -> tuple[ParityInputs, Array]:
        """Read inputs and expected outputs from the archive that :meth:`to_npz` wrote.

        Raises:
            InvalidArgument: The content is not such an archive.
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                return cls(str(file["source"]), file["batch"]), file["expected"]
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise InvalidArgument("the version's parity inputs are damaged: publish the model again") from error


def parity_inputs(spec: ModelSpec, image: Volume | None = None) -> ParityInputs:
    """Make two inputs or, for a segmentation network with a window of its own units, four from an image.

    An annotation model is prompted for ellipsoids of a half and a quarter of the image's extent, a segmentation model
    gets the image's first corner and its middle.

    Args:
        spec: Description of the model.
        image: The image; None: the phantom CT, with prompts for two of its organs.

    Raises:
        VolumeError: The image has voxels that are NaN or infinite.
    """
    if image is not None:
        check_voxels(image.array)
        source, volume, prompts = "image", image, [_middle(image, fraction) for fraction in _FRACTIONS]
    else:
        phantom = make_phantom()
        prompts = [ExtremePoints.of_mask(phantom.mask(organ)).to_index(phantom.image.geometry) for organ in _ORGANS]
        source, volume = "phantom", phantom.image
    orientation, size = volume.geometry.orientation, volume.geometry.size
    canonical = [orientation.index_to_canonical(points, size=size) for points in prompts]
    return ParityInputs(source, network_inputs(volume, canonical, spec))


def network_inputs(image: Volume, prompts: Sequence[Array], spec: ModelSpec) -> Array:
    """Make inputs [batch, channel, z, y, x] of a model from an image.

    Args:
        image: Image in any orientation.
        prompts: Extreme points (x, y, z), shape [n, 3], of each object, as indices of the canonical image. Ignored for
            a segmentation model: its inputs are two patches, the image's first corner and its middle, and the same in
            the units of the network's window if it has one.
        spec: Description of the model.
    """
    canonical = image.geometry.canonical()
    voxels = image.geometry.orientation.to_canonical(image.array)
    if isinstance(spec, SegmentationSpec):
        return np.concatenate(
            [_patches(array, canonical.size, canonical.spacing, spec) for array in _in_units(voxels, spec)]
        )
    return np.stack([_prompted(voxels, points, canonical.size, canonical.spacing, spec) for points in prompts])


def synthetic_batch(spec: ModelSpec, size: int) -> Floating:
    """Make inputs [batch, channel, z, y, x] of smooth images, each with a bright ellipsoid and its extreme points.

    From the second on, an input also has a previous answer that is too small, and two clicks that correct it.

    Args:
        spec: Description of the model.
        size: Number of inputs.
    """
    shape = spec.input_shape[1:]
    axes = np.meshgrid(*((2.0 * np.arange(n) + 1.0) / n - 1.0 for n in shape), indexing="ij")
    batch = []
    for index in range(size):
        random = np.random.default_rng(index)
        radii = random.uniform(0.5, 0.7, 3)  # along (x, y, z), in the ROI's frame of -1 to 1
        radius = np.sqrt(sum((axis / r) ** 2 for axis, r in zip(axes, radii[::-1], strict=True)))
        waves = sum(np.sin(axis * random.uniform(2, 6) + random.uniform(0, 6)) for axis in axes)
        image = 40.0 + 15.0 * waves + 80.0 / (1.0 + np.exp(12.0 * (radius - 1.0))) + random.normal(0, 5, shape)
        if isinstance(spec, SegmentationSpec):
            batch.append(volume_input(image.astype(np.float32), spec.input))
            continue
        points = np.concatenate([np.diag(radii), np.diag(-radii)])
        guide = PromptGuidance(
            box=np.stack([-radii, radii]), extremes=points, image_bounds=np.array([[-1.2] * 3, [0.9] * 3])
        )
        if index:
            previous = (1.0 / (1.0 + np.exp(12.0 * (radius - 0.8)))).astype(np.float32)
            guide = replace(guide, positive=points[:1] * 0.9, negative=points[1:2] * 1.1, previous=previous)
        batch.append(network_input(image.astype(np.float32), guide, spec.input))
    return np.stack(batch)


def _middle(image: Volume, fraction: float) -> Points:
    """Return extreme points (x, y, z), shape [6, 3], of an ellipsoid in the middle of an image."""
    size = np.array(image.geometry.size, np.float64)
    centre, radii = (size - 1) / 2, np.diag(np.maximum(1.0, np.floor(fraction * size / 2)))
    return np.clip(np.concatenate([centre - radii, centre + radii]), 0, size - 1)


def _prompted(voxels: Array, points: Array, size: Size, spacing: Vector, spec: ModelSpec) -> Array:
    """Return the input [channel, z, y, x] for points (x, y, z), shape [n, 3], on a canonical image [z, y, x]."""
    box = np.stack([points.min(axis=0), points.max(axis=0)])
    roi = Roi.from_points(box, spacing=spacing, spec=spec.roi, image_size=size)
    guide = PromptGuidance.in_roi(roi, box=box, extremes=points, image_size=size)
    if spec.begun_by_clicks:
        guide = PromptGuidance.in_roi(roi, box=box, positive=box.mean(axis=0), negative=box[:1], image_size=size)
    x, y, z = roi.size
    result = allocate_input((z, y, x), spec.input)
    write_roi_channels(partial(BlockMeans, voxels), roi, guide, spec, out=result)
    write_guidance_channels(guide, spec.input, out=result)
    return result


def _in_units(voxels: Array, spec: SegmentationSpec) -> list[Array]:
    """Return an image [z, y, x], and if the network has a window of its own units (0..1, mm2/s), the image in these.

    A network that scales a window by a large factor sees nothing but its edges in an image of other units.
    """
    intensity, network = _image_intensity(spec), spec.network
    if intensity is None or network is None or not network.scale:
        return [voxels]
    half = (intensity.high - intensity.low) / 2 * min(1.0, 1.0 / abs(network.scale[0]))
    low, high = float(voxels.min()), float(voxels.max())
    unit = (voxels.astype(np.float64) - low) / max(high - low, 1e-12) * 2 - 1
    return [voxels, (unit * half + (intensity.low + intensity.high) / 2).astype(np.float32)]


def _image_intensity(spec: SegmentationSpec) -> Intensity | None:
    """Return the window of the first channel, if it is of fixed values."""
    channel = spec.input.channels[0]
    return channel.intensity if channel.kind == "image" and channel.intensity.method == "range" else None


def _patches(voxels: Array, size: Size, spacing: Vector, spec: SegmentationSpec) -> Array:
    """Return two patches [2, channel, z, y, x] of a canonical image [z, y, x]."""
    image = volume_channels(voxels, Roi.for_segmentation(size, spacing=spacing, spec=spec), spec)
    shape = spec.input_shape[1:]
    missing = [max(0, target - length) for target, length in zip(shape, image.shape[1:], strict=True)]
    image = np.pad(image, [(0, 0), *((0, width) for width in missing)], constant_values=-1.0)
    corners = [[0, 0, 0], [(length - edge) // 2 for edge, length in zip(shape, image.shape[1:], strict=True)]]
    windows = [tuple(slice(a, a + n) for a, n in zip(corner, shape, strict=True)) for corner in corners]
    return np.stack([image[(slice(None), *window)] for window in windows])
