"""The region of interest (ROI) round prompts: resample voxels into it, and probabilities back.

A :class:`Roi` is a box in the continuous index space of a canonical image, and a grid laid over it. Resampling is
separable and linear: a few taps per axis and sample. Where a cell is larger than a voxel, the linear kernel is widened
to the cell, the anti-aliasing of Pillow and of ``torch.nn.functional.interpolate(antialias=True)``. Outside the image
the nearest voxel is repeated. Training and serving use the same code.

Where a cell spans two voxels or more, the kernel works on block means of f voxels, f being the largest power of two
within the cell (Pillow's ``reducing_gap``): that takes a fraction of the arithmetic, and the means can be cached. The
resulting filter is the triangle convolved with a block at most as wide as the cell: still linear and even, with 1.06
times (f half the cell) to 1.22 times (f the cell) the standard deviation of the triangle alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from sixpoint._typing import Array, Float, Points, Size, Vector
from sixpoint.model_spec import RoiSpec, SegmentationSpec
from sixpoint.preprocessing import kernels
from sixpoint.preprocessing.block_mean import BlockMeans
from sixpoint.preprocessing.resampling import Taps, area_taps, linear_taps, resample

__all__ = [
    "Roi",
    "SliceableArray",
]

# Difference of a step from 1 below which MONAI does not resample.
_SAME_STEP = 1e-3
# Voxels that are read at a time where no block means make them fewer.
_PIECE = 2**22


class SliceableArray(Protocol):
    """Samples [z, y, x] that are read by window: an array, or an object that computes them when they are read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Samples along [z, y, x]."""
        ...

    def __getitem__(self, window: tuple[slice, slice, slice], /) -> Array:
        """The samples of a window."""
        ...


@dataclass(frozen=True)
class Roi:
    """A box with a grid over it.

    Attributes:
        lower: Lower corner of the box, continuous index (x, y, z); a voxel spans its index - 0.5 to + 0.5.
        upper: Upper corner of the box, continuous index (x, y, z).
        size: Cells of the grid along (x, y, z).
        resampling: ``smoothed``: linear, with a kernel that widens where the grid is coarser than what it samples,
            against aliasing; ``trilinear``: linear between the nearest samples; ``area``: the mean of the samples that
            a cell touches, for a box that is the whole image.
        spacing_steps: Voxels per cell along (x, y, z) of MONAI's ``Spacing``, to the last bit; None on other grids.
    """

    lower: Vector
    upper: Vector
    size: Size
    resampling: Literal["smoothed", "trilinear", "area"] = "smoothed"
    spacing_steps: Vector | None = None

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
        """Place an ROI round points; it grows only for clicks that would lie outside it.

        Args:
            points: Extreme points, or two corners of a box: canonical indices (x, y, z), shape [n, 3].
            clicks: Clicks as canonical indices (x, y, z), shape [n, 3].
            spacing: Spacing of the canonical image, mm along (x, y, z).
            spec: Grid size and margins.
            image_size: Voxels of the canonical image along (x, y, z); required where ``spec.whole``.

        Raises:
            ValueError: The ROI is the whole image, and ``image_size`` is missing.
        """
        if spec.whole:
            if image_size is None:
                raise ValueError("the ROI is the whole image: expected image_size")
            x, y, z = (n - 0.5 for n in image_size)
            return cls((-0.5, -0.5, -0.5), (x, y, z), spec.size, resampling=spec.resampling)
        points = np.asarray(points, np.float64).reshape(-1, 3)
        roi = cls._enclose(points, spacing=spacing, spec=spec)
        positions = np.asarray(clicks, np.float64).reshape(-1, 3)
        outside = positions[((positions < roi.lower) | (positions > roi.upper)).any(axis=1)]
        return cls._enclose(np.concatenate([points, outside]), spacing=spacing, spec=spec) if len(outside) else roi

    @classmethod
    def _enclose(cls, points: Points, *, spacing: Vector, spec: RoiSpec) -> Roi:
        """The points' box, to the faces of its voxels, plus the margins."""
        low, high = points.min(axis=0) - 0.5, points.max(axis=0) + 0.5
        fixed = spec.margin_voxels + spec.margin_mm / np.asarray(spacing, np.float64)
        margin = spec.margin_fraction * (high - low) + fixed
        lower, upper = (low - margin).tolist(), (high + margin).tolist()
        return cls(lower=(lower[0], lower[1], lower[2]), upper=(upper[0], upper[1], upper[2]), size=spec.size)

    @classmethod
    def from_image(cls, image_size: Size, *, spacing: Vector, target_spacing: Vector) -> Roi:
        """Cover a whole image with a grid of about another spacing.

        Args:
            image_size: Voxels of the canonical image along (x, y, z).
            spacing: Spacing of the canonical image, mm along (x, y, z).
            target_spacing: Spacing of the grid, mm along (x, y, z); rounded so that whole cells fill the image exactly.
        """
        cells = [
            max(1, round(n * mine / its)) for n, mine, its in zip(image_size, spacing, target_spacing, strict=True)
        ]
        upper = [n - 0.5 for n in image_size]
        return cls((-0.5, -0.5, -0.5), (upper[0], upper[1], upper[2]), (cells[0], cells[1], cells[2]))

    @classmethod
    def for_segmentation(cls, image_size: Size, *, spacing: Vector, spec: SegmentationSpec) -> Roi:
        """Lay the grid of a segmentation network over a whole image.

        Args:
            image_size: Voxels of the canonical image along (x, y, z).
            spacing: Spacing of the canonical image, mm along (x, y, z).
            spec: Model, whose patch states spacing and kind of the grid, and whose network the directions of its axes.
        """
        patch = spec.patch
        if patch.grid == "faces":
            return cls.from_image(image_size, spacing=spacing, target_spacing=patch.spacing)
        # As MONAI 1.6, monai.data.utils.compute_shape_offset and monai.transforms.spatial.functional.spatial_resample.
        steps = [its / mine for mine, its in zip(spacing, patch.spacing, strict=True)]
        cells = [round((n - 1) / step + 1.0) for n, step in zip(image_size, steps, strict=True)]
        same = tuple(cells) == image_size and all(abs(step - 1.0) <= _SAME_STEP for step in steps)
        steps = [1.0, 1.0, 1.0] if same else steps
        axes = spec.network.axes if spec.network else "SPL"
        first = [
            0.0 if forward in axes else (n - 1) - (count - 1) * step
            for forward, n, count, step in zip("LPS", image_size, cells, steps, strict=True)
        ]
        lower = [start - step / 2 for start, step in zip(first, steps, strict=True)]
        upper = [edge + count * step for edge, count, step in zip(lower, cells, steps, strict=True)]
        return cls(
            (lower[0], lower[1], lower[2]),
            (upper[0], upper[1], upper[2]),
            (cells[0], cells[1], cells[2]),
            resampling="trilinear",
            spacing_steps=None if same else (steps[0], steps[1], steps[2]),
        )

    @property
    def cell_size(self) -> Vector:
        """Voxels of the image per cell of the grid, along (x, y, z)."""
        edges = [(b - a) / n for a, b, n in zip(self.lower, self.upper, self.size, strict=True)]
        return edges[0], edges[1], edges[2]

    def normalise(self, points: npt.ArrayLike) -> Points:
        """Convert indices (x, y, z), shape [n, 3], to the ROI's frame: -1 at its lower faces, 1 at its upper faces."""
        index = np.asarray(points, np.float64).reshape(-1, 3)
        low, high = np.array(self.lower), np.array(self.upper)
        return 2.0 * (index - low) / (high - low) - 1.0

    def voxel_bounds(self, image_size: Size) -> tuple[Size, Size]:
        """The voxels of an image (size along x, y, z) whose centres lie in the box: first, and one past the last."""
        low = [max(0, math.ceil(edge)) for edge in self.lower]
        high = [min(n, math.floor(edge) + 1) for edge, n in zip(self.upper, image_size, strict=True)]
        high = [max(a, b) for a, b in zip(low, high, strict=True)]
        return (low[0], low[1], low[2]), (high[0], high[1], high[2])

    @property
    def reduction_factors(self) -> Size:
        """Voxels per block of means along (x, y, z) from which the grid is resampled."""
        if self.resampling != "smoothed":
            return 1, 1, 1
        # frexp is exact where a logarithm would not be.
        x, y, z = (1 if edge < 2 else 2 ** (math.frexp(edge)[1] - 1) for edge in self.cell_size)
        return x, y, z

    def extract(self, image: npt.NDArray[np.generic]) -> Float:
        """Resample an image onto the ROI's grid.

        Args:
            image: Canonical array [z, y, x] of any real dtype, of which only the box is read.

        Returns:
            Array [z, y, x] of ``size``, float32, in the image's own units.
        """
        return self.resample(BlockMeans(image, self.reduction_factors))

    def resample(self, reduced: SliceableArray, *, slices: tuple[int, int] | None = None) -> Float:
        """Resample an image that was reduced by :attr:`reduction` into the ROI's grid.

        Args:
            reduced: Block means [z, y, x], as an array or computed when they are read.
            slices: Range of cells along z, half-open; None: all. Only the means they need are read.

        Returns:
            The same as :meth:`extract` of the image, bit for bit; with ``slices``, up to the order of sums.
        """
        if self.resampling != "smoothed" and slices is None and math.prod(reduced.shape) > _PIECE:
            return self._resample_in_pieces(reduced)
        reads, taps = [], []
        for axis in range(3):
            cells = slices if slices and axis == 2 else (0, self.size[axis])
            axis_taps = self._extract_taps(axis, cells, source_size=reduced.shape[2 - axis])
            first, last = int(axis_taps.cells.min()), int(axis_taps.cells.max())
            reads.append(slice(first, last + 1))
            taps.append(axis_taps.select(slice(None), first=first))
        crop = reduced[reads[2], reads[1], reads[0]]
        if crop.dtype != np.float32 or not kernels.has_contiguous_rows(crop):
            crop = np.ascontiguousarray(crop, dtype=np.float32)
        return resample(crop, taps)

    def _resample_in_pieces(self, voxels: SliceableArray) -> Float:
        """Resample an image without a copy of all its voxels, some slices of the grid at a time."""
        x, y, z = self.size
        thick = max(1, int(_PIECE / (math.prod(voxels.shape[1:]) * max(1.0, self.cell_size[2]))) - 2)
        result = np.empty((z, y, x), np.float32)
        for first in range(0, z, thick):
            end = min(z, first + thick)
            result[first:end] = self.resample(voxels, slices=(first, end))
        return result

    def _extract_taps(self, axis: int, cells: tuple[int, int], *, source_size: int) -> Taps:
        """Taps of a range of cells along an axis among ``source_size`` samples of the reduced image."""
        if self.resampling == "area":
            return area_taps(cells, source_size=source_size, target_size=self.size[axis])
        step, factor = self.cell_size[axis], self.reduction_factors[axis]
        centres = self.lower[axis] + (np.arange(*cells) + 0.5) * step
        # Block j covers voxels j * f to j * f + f - 1; its centre is their middle.
        centres = (centres - (factor - 1) / 2) / factor
        target_step = step / factor if self.resampling == "smoothed" else 1.0
        return linear_taps(centres, source_size=source_size, target_step=target_step)

    def restore(self, grid: npt.NDArray[np.generic], *, image_size: Size) -> tuple[Float, Size]:
        """Resample a grid onto the voxels in the box: the inverse of :meth:`extract`.

        Args:
            grid: Array [z, y, x] of the ROI's ``size``, any real dtype.
            image_size: Voxels of the canonical image along (x, y, z).

        Returns:
            Values [z, y, x], float32, of the voxels in the box, and the index (x, y, z) of the first voxel.
        """
        low, high = self.voxel_bounds(image_size)
        taps = [self.restore_taps(axis, (low[axis], high[axis])) for axis in range(3)]
        return resample(np.ascontiguousarray(grid, dtype=np.float32), taps), low

    def restore_taps(self, axis: int, bounds: tuple[int, int]) -> Taps:
        """Taps of :meth:`restore` along one axis.

        Args:
            axis: 0 for x, 1 for y, 2 for z.
            bounds: Voxels along the axis, half-open.
        """
        if self.resampling == "area":
            voxels = round(self.upper[axis] - self.lower[axis])
            return area_taps(bounds, source_size=self.size[axis], target_size=voxels)
        step = self.cell_size[axis]
        centres = (np.arange(*bounds) - self.lower[axis]) / step - 0.5
        target_step = 1.0 / step if self.resampling == "smoothed" else 1.0
        return linear_taps(centres, source_size=self.size[axis], target_step=target_step)

    def nearest_taps(self, axis: int, bounds: tuple[int, int]) -> Taps:
        """Taps that give each voxel the value of the nearest cell along one axis; arguments as for restore_taps."""
        centres = (np.arange(*bounds) - self.lower[axis]) / self.cell_size[axis] - 0.5
        cells = np.clip(np.rint(centres), 0, self.size[axis] - 1).astype(np.int32)[:, None]
        return Taps(cells, np.ones_like(cells, np.float32))

    def transfer(self, grid: npt.NDArray[np.generic], other: Roi) -> Float:
        """Resample probabilities onto the grid of another ROI; 0 outside this one.

        Args:
            grid: Array [z, y, x] of this ROI's ``size``, any real dtype.
            other: ROI with the new grid.

        Returns:
            Array [z, y, x] of the other ROI's ``size``, float32.
        """
        # Outside the array the nearest sample repeats, so a rim of zeros makes them 0.
        padded = np.pad(np.asarray(grid, np.float32), 1)
        taps = []
        for axis in range(3):
            step, width = self.cell_size[axis], other.cell_size[axis]
            centres = other.lower[axis] + (np.arange(other.size[axis]) + 0.5) * width
            inside = (centres - self.lower[axis]) / step - 0.5 + 1.0
            taps.append(linear_taps(inside, source_size=self.size[axis] + 2, target_step=width / step))
        return resample(padded, taps)
