"""Inputs of a model made of an image, as the gateway would make them: what versions are compared on."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sixpoint._typing import Array, Points, Size, Vector
from sixpoint.errors import InvalidArgument
from sixpoint.model_spec import ModelSpec, SegmentationSpec
from sixpoint.phantom import make_phantom
from sixpoint.preprocessing import PromptGuidance, Roi, network_input, volume_input
from sixpoint.prompts import ExtremePoints
from sixpoint.volume import Volume

__all__ = ["ParityInputs", "network_inputs", "parity_inputs"]


# Organs of the phantom: one large, one small.
_ORGANS = ("liver", "kidney_left")
# Extents of the bodies shown where a person showed none, in fractions of the image's.
_FRACTIONS = (0.5, 0.25)


@dataclass(frozen=True, eq=False)
class ParityInputs:
    """Inputs of one model, and what they were made of.

    Attributes:
        source: "image", "phantom" or "calibration".
        batch: Inputs [batch, channel, z, y, x].
    """

    source: str
    batch: Array

    @property
    def digest(self) -> str:
        """SHA-256 of the inputs, by which two reports on the same sample are known."""
        return hashlib.sha256(np.ascontiguousarray(self.batch).tobytes()).hexdigest()

    def to_npz(self, expected: Array) -> bytes:
        """The sample and the answers that are expected [batch, label, z, y, x], as a file of NumPy's (.npz)."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, source=np.array(self.source), batch=self.batch, expected=expected)
        return buffer.getvalue()

    @classmethod
    def from_npz(cls, content: bytes) -> tuple[ParityInputs, Array]:
        """What :meth:`packed` wrote: the sample, and the expected answers.

        Raises:
            InvalidArgument: It is something else.
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                return cls(str(file["source"]), file["batch"]), file["expected"]
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise InvalidArgument("the version's parity sample is damaged: publish the model again") from error


def parity_inputs(spec: ModelSpec, image: Volume | None = None) -> ParityInputs:
    """Two inputs made of an image: an ellipsoid of half its extent shown, and one of a quarter; or, for a model without
    prompts, its middle and its first corner.

    Args:
        spec: Of the model.
        image: None: the phantom CT, with two of its organs shown.
    """
    if image is not None:
        source, volume, shown = "image", image, [_middle(image, fraction) for fraction in _FRACTIONS]
    else:
        phantom = make_phantom()
        shown = [ExtremePoints.of_mask(phantom.mask(organ)).to_index(phantom.image.geometry) for organ in _ORGANS]
        source, volume = "phantom", phantom.image
    orientation, size = volume.geometry.orientation, volume.geometry.size
    points = [orientation.index_to_canonical(one, size=size) for one in shown]
    return ParityInputs(source, network_inputs(volume, points, spec))


def network_inputs(image: Volume, shown: Sequence[Array], spec: ModelSpec) -> Array:
    """Inputs [batch, channel, z, y, x] of a model made of an image.

    Args:
        image: In any orientation.
        shown: Of each object the points (x, y, z), shape [n, 3], as indices of the canonical image. A model without
            prompts is shown none: its inputs are two patches, the image's first corner and its middle.
        spec: Of the model.
    """
    canonical = image.geometry.canonical()
    voxels = image.geometry.orientation.to_canonical(image.array)
    if isinstance(spec, SegmentationSpec):
        return _patches(voxels, canonical.size, canonical.spacing, spec)
    return np.stack([_seen(voxels, one, canonical.size, canonical.spacing, spec) for one in shown])


def _middle(image: Volume, fraction: float) -> Points:
    """Extreme points (x, y, z), shape [6, 3], of an ellipsoid in the image's middle."""
    size = np.array(image.geometry.size, np.float64)
    centre, radii = (size - 1) / 2, np.diag(np.maximum(1.0, np.floor(fraction * size / 2)))
    return np.clip(np.concatenate([centre - radii, centre + radii]), 0, size - 1)


def _seen(voxels: Array, points: Array, size: Size, spacing: Vector, spec: ModelSpec) -> Array:
    """The input [channel, z, y, x] for points (x, y, z), shape [n, 3], on a canonical image [z, y, x]."""
    box = np.stack([points.min(axis=0), points.max(axis=0)])
    roi = Roi.from_points(box, spacing=spacing, spec=spec.roi, image_size=size)
    guide = PromptGuidance.in_roi(roi, box=box, extremes=points, image_size=size)
    if spec.takes_clicks_only:
        guide = PromptGuidance.in_roi(roi, box=box, positive=box.mean(axis=0), negative=box[:1], image_size=size)
    return network_input(roi.extract(voxels), guide, spec.input)


def _patches(voxels: Array, size: Size, spacing: Vector, spec: SegmentationSpec) -> Array:
    """Two patches [2, channel, z, y, x] of a canonical image [z, y, x]."""
    roi = Roi.from_image(size, spacing=spacing, target_spacing=spec.patch.spacing)
    seen = volume_input(roi.extract(voxels), spec.input)
    shape = spec.input_shape[1:]
    missing = [max(0, wanted - there) for wanted, there in zip(shape, seen.shape[1:], strict=True)]
    seen = np.pad(seen, [(0, 0), *((0, width) for width in missing)], constant_values=-1.0)
    corners = [[0, 0, 0], [(there - wanted) // 2 for wanted, there in zip(shape, seen.shape[1:], strict=True)]]
    cut = [tuple(slice(a, a + n) for a, n in zip(corner, shape, strict=True)) for corner in corners]
    return np.stack([seen[(slice(None), *window)] for window in cut])
