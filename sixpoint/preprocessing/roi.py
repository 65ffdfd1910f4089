"""The region of interest round a prompt, and the way of voxels into it and back.

A :class:`Roi` is a box in the continuous index space of a canonical image, and a grid laid over it. Resampling is
separable and linear: a few taps per axis and sample. When the grid is coarser than the voxels the linear kernel is
widened to the grid's step, which is the anti-aliasing of Pillow and
``torch.nn.functional.interpolate(antialias=True)``. Beyond the image's border the nearest voxel is repeated. Training
and serving both come through here.

Where a step is two voxels or more, the image is first reduced by block means of f voxels, f the largest power of two
within the step, and the kernel works on those (Pillow's ``reducing_gap``): a fraction of the arithmetic, and the means
can be kept. The filter that results is the triangle convolved with a block at most as wide as the step: still linear
and even, its standard deviation 1.06 (f half the step) to 1.22 (f the step) times that of the triangle alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sixpoint._typing import Array, Float, Points, Size, Vector
from sixpoint.model_spec import RoiSpec
from sixpoint.preprocessing import kernels
from sixpoint.preprocessing.block_mean import BlockMeans
from sixpoint.preprocessing.resampling import Taps, linear_taps, resample

__all__ = [
    "Roi",
    "SliceableArray",
]


class SliceableArray(Protocol):
    """Samples [z, y, x] that are read by window: an array, or what makes them when they are read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Samples along [z, y, x]."""
        ...

    def __getitem__(self, window: tuple[slice, slice, slice], /) -> Array:
        """Those of a window."""
        ...


@dataclass(frozen=True)
class Roi:
    """A box with a grid over it.

    Attributes:
        lower: The box's lower corner, continuous index (x, y, z); a voxel reaches from its index - 0.5 to + 0.5.
        upper: Its upper corner, (x, y, z).
        size: Cells of the grid along (x, y, z).
    """

    lower: Vector
    upper: Vector
    size: Size

    @classmethod
    def from_points(
        cls,
        points: npt.ArrayLike,
        *,
        clicks: npt.ArrayLike = (),
        spacing: Vector,
        spec: RoiSpec,
        image_size: Size | None = None,
    ) -> Roi:
        """The ROI that ``spec`` lays round points; it grows only for clicks that would lie outside of it.

        Args:
            points: Extreme points, or two corners of a box: canonical indices (x, y, z), shape [n, 3].
            clicks: Canonical indices (x, y, z), shape [n, 3].
            spacing: Of the canonical image, mm along (x, y, z).
            spec: Grid and margins.
            image_size: Voxels of the canonical image along (x, y, z); required where ``spec.whole``.

        Raises:
            ValueError: The model sees the whole image, and its size is not given.
        """
        if spec.whole:
            if image_size is None:
                raise ValueError("the ROI is the whole image: its size is needed")
            return cls((-0.5, -0.5, -0.5), (image_size[0] - 0.5, image_size[1] - 0.5, image_size[2] - 0.5), spec.size)
        given = np.asarray(points, np.float64).reshape(-1, 3)
        roi = cls._round(given, spacing=spacing, spec=spec)
        further = np.asarray(clicks, np.float64).reshape(-1, 3)
        outside = further[((further < roi.lower) | (further > roi.upper)).any(axis=1)]
        return cls._round(np.concatenate([given, outside]), spacing=spacing, spec=spec) if len(outside) else roi

    @classmethod
    def _round(cls, given: Points, *, spacing: Vector, spec: RoiSpec) -> Roi:
        low, high = given.min(axis=0) - 0.5, given.max(axis=0) + 0.5
        fixed = spec.margin_voxels + spec.margin_mm / np.asarray(spacing, np.float64)
        margin = spec.margin_fraction * (high - low) + fixed
        lower, upper = (low - margin).tolist(), (high + margin).tolist()
        return cls(lower=(lower[0], lower[1], lower[2]), upper=(upper[0], upper[1], upper[2]), size=spec.size)

    @classmethod
    def from_image(cls, image_size: Size, *, spacing: Vector, target_spacing: Vector) -> Roi:
        """The ROI that is a whole image, on a grid of about another spacing.

        Args:
            image_size: Voxels of the canonical image along (x, y, z).
            spacing: Of the canonical image, mm along (x, y, z).
            target_spacing: Spacing of the grid, mm along (x, y, z); rounded so that whole cells fill the image.
        """
        cells = [
            max(1, round(n * mine / its)) for n, mine, its in zip(image_size, spacing, target_spacing, strict=True)
        ]
        upper = [n - 0.5 for n in image_size]
        return cls((-0.5, -0.5, -0.5), (upper[0], upper[1], upper[2]), (cells[0], cells[1], cells[2]))

    @property
    def cell_size(self) -> Vector:
        """Voxels of the image per cell of the grid, along (x, y, z)."""
        edges = [(b - a) / n for a, b, n in zip(self.lower, self.upper, self.size, strict=True)]
        return edges[0], edges[1], edges[2]

    def normalise(self, points: npt.ArrayLike) -> Points:
        """Indices (x, y, z), shape [n, 3], in the ROI's own frame: -1 at its lower faces, 1 at its upper ones."""
        given = np.asarray(points, np.float64).reshape(-1, 3)
        low, high = np.array(self.lower), np.array(self.upper)
        return 2.0 * (given - low) / (high - low) - 1.0

    def voxel_bounds(self, image_size: Size) -> tuple[Size, Size]:
        """The voxels of an image of ``size`` (x, y, z) whose centres lie in the box: half-open (lower, upper)."""
        low = [max(0, math.ceil(edge)) for edge in self.lower]
        high = [min(n, math.floor(edge) + 1) for edge, n in zip(self.upper, image_size, strict=True)]
        high = [max(a, b) for a, b in zip(low, high, strict=True)]
        return (low[0], low[1], low[2]), (high[0], high[1], high[2])

    @property
    def reduction_factors(self) -> Size:
        """Voxels per block along (x, y, z) by which an image is reduced before it is resampled."""
        # frexp is exact where a logarithm would not be.
        x, y, z = (1 if step < 2 else 2 ** (math.frexp(step)[1] - 1) for step in self.cell_size)
        return x, y, z

    def extract(self, image: npt.NDArray[np.generic]) -> Float:
        """Resample an image into the ROI's grid.

        Args:
            image: Canonical array [z, y, x] of any real dtype; read only where the box lies.

        Returns:
            Array [z, y, x] of ``size``, float32, in the image's own units.
        """
        return self.resample(BlockMeans(image, self.reduction_factors))

    def resample(self, reduced: SliceableArray, *, slices: tuple[int, int] | None = None) -> Float:
        """Resample an image that was reduced by :attr:`reduction` into the ROI's grid.

        Args:
            reduced: The block means [z, y, x], whole or made when they are read.
            slices: Which cells along z, half-open; None: all. Of the image only what they need is read.

        Returns:
            What :meth:`extract` makes of the image, bit for bit; of some slices, up to the order of sums.
        """
        reads, taps = [], []
        for axis, factor in enumerate(self.reduction_factors):
            step = self.cell_size[axis]
            cells = np.arange(*slices) if slices and axis == 2 else np.arange(self.size[axis])
            centres = self.lower[axis] + (cells + 0.5) * step
            # Sample j stands for voxels j * f to j * f + f - 1: its centre is in their middle.
            centres = (centres - (factor - 1) / 2) / factor
            some = linear_taps(centres, source_size=reduced.shape[2 - axis], target_step=step / factor)
            first, last = int(some.cells.min()), int(some.cells.max())
            reads.append(slice(first, last + 1))
            taps.append(some.select(slice(None), first=first))
        crop = reduced[reads[2], reads[1], reads[0]]
        if crop.dtype != np.float32 or not kernels.has_contiguous_rows(crop):
            crop = np.ascontiguousarray(crop, dtype=np.float32)
        return resample(crop, taps)

    def restore(self, grid: npt.NDArray[np.generic], *, image_size: Size) -> tuple[Float, Size]:
        """Resample a grid back onto the voxels that the box covers: the way back from :meth:`extract`.

        Args:
            grid: Array [z, y, x] of the ROI's ``size``, any real dtype.
            image_size: Voxels of the canonical image along (x, y, z).

        Returns:
            Values [z, y, x] (float32) of the voxels in the box, and the (x, y, z) index of the first of them.
        """
        low, high = self.voxel_bounds(image_size)
        taps = [self.restore_taps(axis, (low[axis], high[axis])) for axis in range(3)]
        return resample(np.ascontiguousarray(grid, dtype=np.float32), taps), low

    def restore_taps(self, axis: int, bounds: tuple[int, int]) -> Taps:
        """What :meth:`restore` does along one axis.

        Args:
            axis: 0 for x, 1 for y, 2 for z.
            bounds: Voxels along it, half-open.
        """
        step = self.cell_size[axis]
        centres = (np.arange(*bounds) - self.lower[axis]) / step - 0.5
        return linear_taps(centres, source_size=self.size[axis], target_step=1.0 / step)

    def transfer(self, grid: npt.NDArray[np.generic], other: Roi) -> Float:
        """Probabilities on this ROI's grid as another ROI's grid sees them; 0 where this one does not reach.

        Args:
            grid: Array [z, y, x] of this ROI's ``size``, any real dtype.
            other: The ROI to bring them to.

        Returns:
            Array [z, y, x] of the other's ``size``, float32.
        """
        # A rim of zeros, since beyond the last sample the nearest repeats.
        rimmed = np.pad(np.asarray(grid, np.float32), 1)
        taps = []
        for axis in range(3):
            step, width = self.cell_size[axis], other.cell_size[axis]
            centres = other.lower[axis] + (np.arange(other.size[axis]) + 0.5) * width
            inside = (centres - self.lower[axis]) / step - 0.5 + 1.0
            taps.append(linear_taps(inside, source_size=self.size[axis] + 2, target_step=width / step))
        return resample(rimmed, taps)
