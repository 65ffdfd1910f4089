"""Geometry: where the voxels of an image lie in the patient.

Conventions, everywhere in sixpoint: patient space is LPS in millimetres (x to the patient's Left, y to Posterior, z to
Superior), as in DICOM and ITK; an *index* is continuous and ordered (x, y, z), with integers at voxel centres; an
*array* is ordered [z, y, x].
"""

from __future__ import annotations

import itertools
import math
import operator
import struct
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sixpoint._typing import Array, Points, Vector
from sixpoint.errors import Violation, VolumeError
from sixpoint.errors.shortening import shorten

if TYPE_CHECKING:
    from sixpoint.io import NiftiPlacement
    from sixpoint.io.dicom import DicomOrigin

__all__ = ["Geometry", "Orientation"]

Matrix = tuple[float, float, float, float, float, float, float, float, float]

_IDENTITY: Matrix = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
# NIfTI stores the affine in float32 and scanners round their cosines to six digits.
_ORTHONORMAL_TOLERANCE = 1e-3
# Wide of anything that is imaged, and narrow enough that volumes and squares of distances overflow nowhere, not even in
# float32: a nanometre, and a kilometre.
_MIN_SPACING_MM = 1e-6
_MAX_POSITION_MM = 1e6
_MAX_SIZE = 2**31 - 1


@dataclass(frozen=True)
class Orientation:
    """A reordering of axes, with flips, between an image's own index order and the canonical one.

    The canonical order is the one whose axes lie closest to L, P, S: canonical axis ``k`` is the image's axis
    ``axes[k]``, reversed when ``flips[k]``.

    Attributes:
        axes: For each canonical axis (x, y, z), the image's axis (0 is x, 1 is y, 2 is z).
        flips: For each canonical axis (x, y, z), whether the image's axis runs backwards.
    """

    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]

    def to_canonical(self, array: Array) -> Array:
        """The image's array [z, y, x], seen in canonical order: a view, never a copy."""
        # Array axis a holds index axis 2 - a.
        order = tuple(2 - self.axes[2 - a] for a in range(3))
        steps = tuple(slice(None, None, -1 if self.flips[2 - a] else 1) for a in range(3))
        return array.transpose(order)[steps]

    def from_canonical(self, array: Array) -> Array:
        """A canonical array [z, y, x], seen in the image's own order: a view, the inverse of :meth:`to_canonical`."""
        steps = tuple(slice(None, None, -1 if self.flips[2 - a] else 1) for a in range(3))
        order = tuple(2 - self.axes[2 - a] for a in range(3))
        inverse = tuple(order.index(a) for a in range(3))
        return array[steps].transpose(inverse)

    def index_to_canonical(self, index: npt.ArrayLike, *, size: tuple[int, int, int]) -> Points:
        """Indices (x, y, z) of the image, shape [n, 3], as canonical ones; ``size`` is the image's own (x, y, z)."""
        given = np.asarray(index, np.float64).reshape(-1, 3)
        columns = [
            (size[axis] - 1) - given[:, axis] if flip else given[:, axis]
            for axis, flip in zip(self.axes, self.flips, strict=True)
        ]
        return np.stack(columns, axis=1)

    def box_from_canonical(
        self, lower: tuple[int, int, int], upper: tuple[int, int, int], *, size: tuple[int, int, int]
    ) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        """A half-open canonical box (lower, upper), (x, y, z) voxels, in the image's own index order.

        ``size`` is the image's own (x, y, z).
        """
        low, high = [0, 0, 0], [0, 0, 0]
        for k, (axis, flip) in enumerate(zip(self.axes, self.flips, strict=True)):
            low[axis] = size[axis] - upper[k] if flip else lower[k]
            high[axis] = size[axis] - lower[k] if flip else upper[k]
        return (low[0], low[1], low[2]), (high[0], high[1], high[2])


@dataclass(frozen=True)
class Geometry:
    """Size of an image and the positions of its voxels in the patient.

    Attributes:
        size: Voxels along (x, y, z).
        spacing: Millimetres between voxel centres along (x, y, z).
        origin: Position in the patient (LPS, mm) of the centre of voxel (0, 0, 0).
        direction: Row-major 3x3 matrix; column k is the unit vector (LPS) along which index axis k runs (as in ITK).
        nifti: Fields of the NIfTI header that this geometry was read from, which masks on this geometry get; None for
            other sources. Not part of equality or of an image's digest.
        dicom: DICOM files that this geometry was read from, to which masks on it refer when they are saved as DICOM;
            None for other sources. Not part of equality or of an image's digest.

    Raises:
        VolumeError: A number is not finite, a size or spacing is not positive, a size is not whole, the axes are not
            orthonormal, or the image is impossibly fine, large or far away: the spacing is below a nanometre, or the
            extent or a voxel's distance from the origin beyond a kilometre. The error names the field.
    """

    size: tuple[int, int, int]
    spacing: Vector = (1.0, 1.0, 1.0)
    origin: Vector = (0.0, 0.0, 0.0)
    direction: Matrix = _IDENTITY
    nifti: NiftiPlacement | None = field(default=None, compare=False, repr=False)
    dicom: DicomOrigin | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        for name, count in (("size", 3), ("spacing", 3), ("origin", 3), ("direction", 9)):
            values = getattr(self, name)
            if len(values) != count:
                raise _wrong(name, f"needs {count} numbers, got {len(values)}", expected=f"{count} numbers")
            what = "whole numbers" if name == "size" else "numbers"
            kind = operator.index if name == "size" else float
            try:
                object.__setattr__(self, name, tuple(kind(value) for value in values))
            except (TypeError, ValueError, OverflowError):
                raise _wrong(
                    name, f"must be {count} {what}, got {shorten(str(tuple(values)))}", expected=what
                ) from None
            if name != "size" and not all(math.isfinite(value) for value in getattr(self, name)):
                raise _wrong(name, "has a number that is not finite", expected="finite numbers")
        if max(map(abs, self.size)) > _MAX_SIZE:
            raise _wrong("size", f"exceeds {_MAX_SIZE} voxels along an axis", expected=f"at most {_MAX_SIZE}")
        if min(self.size) < 1:
            raise _wrong("size", f"must be positive along x, y and z, got {self.size}", expected="1 or more")
        if min(self.spacing) <= 0:
            raise _wrong("spacing", f"must be positive, got {self.spacing} mm", expected="more than 0")
        axes = np.array(self.direction).reshape(3, 3)
        # Components of unit vectors are at most 1; checked first, since products of huge numbers overflow.
        too_large = np.abs(axes).max() > 1 + _ORTHONORMAL_TOLERANCE
        if too_large or np.abs(axes.T @ axes - np.eye(3)).max() > _ORTHONORMAL_TOLERANCE:
            raise _wrong(
                "direction", "must have columns that are orthogonal unit vectors", expected="orthonormal columns"
            )
        self._check_extent()

    def _check_extent(self) -> None:
        """Refuse positions that no scanner gives, with which later computations would overflow.

        Raises:
            VolumeError: The spacing is too small or too large, or the image lies too far away.
        """
        limit = f"{_MAX_POSITION_MM:g} mm"
        if min(self.spacing) < _MIN_SPACING_MM:
            raise _wrong(
                "spacing",
                f"must be at least {_MIN_SPACING_MM:g} mm, got {self.spacing} mm: check the unit",
                expected=f"at least {_MIN_SPACING_MM:g} mm",
            )
        # Products of Python's floats become infinite without a warning.
        if max(count * step for count, step in zip(self.size, self.spacing, strict=True)) > _MAX_POSITION_MM:
            raise _wrong(
                "spacing",
                f"makes an image larger than {limit}, got {self.spacing} mm for {self.size_text}: check the unit",
                expected=f"an image of at most {limit}",
            )
        corners = self.index_to_point(list(itertools.product(*((0, count - 1) for count in self.size))))
        if np.abs(corners).max() > _MAX_POSITION_MM:
            raise _wrong(
                "origin",
                f"puts voxels more than {limit} from the patient's origin, got {self.origin} mm",
                expected=f"all voxels within {limit}",
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the voxel array, [z, y, x]."""
        return self.size[2], self.size[1], self.size[0]

    @property
    def size_text(self) -> str:
        """Size for people: voxels along x, y and z, such as "512x512x90"."""
        return "x".join(map(str, self.size))

    @property
    def voxel_volume_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return math.prod(self.spacing) / 1000.0

    def index_to_point(self, index: npt.ArrayLike) -> Points:
        """Patient positions (LPS, mm) of continuous indices (x, y, z); shape [n, 3] to [n, 3]."""
        scaled = np.asarray(index, np.float64).reshape(-1, 3) * np.array(self.spacing)
        return scaled @ np.array(self.direction).reshape(3, 3).T + np.array(self.origin)

    def point_to_index(self, point: npt.ArrayLike) -> Points:
        """Continuous indices (x, y, z) of patient positions (LPS, mm); shape [n, 3] to [n, 3]."""
        moved = np.asarray(point, np.float64).reshape(-1, 3) - np.array(self.origin)
        # A solve, not the transpose: columns read from files are orthonormal only to some digits.
        return np.linalg.solve(np.array(self.direction).reshape(3, 3), moved.T).T / np.array(self.spacing)

    @cached_property
    def orientation(self) -> Orientation:
        """The reordering that brings this image's array into canonical order (closest to L, P, S)."""
        axes = np.array(self.direction).reshape(3, 3)

        def alignment(order: tuple[int, ...]) -> tuple[float, list[float]]:
            turned = axes[:, order] * np.where(np.diagonal(axes[:, order]) < 0, -1.0, 1.0)
            # At 45 degrees two orders tie: the turned axes decide, since they do not depend on the storage order.
            return round(float(np.trace(turned)), 5), np.round(turned, 5).reshape(-1).tolist()

        # The assignment with the greatest total alignment: greedy choices can clash on oblique images.
        best = max(itertools.permutations(range(3)), key=alignment)
        flips = tuple(bool(axes[k, best[k]] < 0) for k in range(3))
        return Orientation(axes=(best[0], best[1], best[2]), flips=(flips[0], flips[1], flips[2]))

    def canonical(self) -> Geometry:
        """Geometry of this image's array in canonical order."""
        return self._canonical

    @cached_property
    def _canonical(self) -> Geometry:
        orientation = self.orientation
        axes = np.array(self.direction).reshape(3, 3)
        signs = [-1.0 if flip else 1.0 for flip in orientation.flips]
        corner = [0.0, 0.0, 0.0]
        for axis, flip in zip(orientation.axes, orientation.flips, strict=True):
            corner[axis] = self.size[axis] - 1.0 if flip else 0.0
        turned = np.stack([axes[:, axis] * sign for axis, sign in zip(orientation.axes, signs, strict=True)], axis=1)
        order = orientation.axes
        origin = self.index_to_point(corner)[0]
        return Geometry(
            size=(self.size[order[0]], self.size[order[1]], self.size[order[2]]),
            spacing=(self.spacing[order[0]], self.spacing[order[1]], self.spacing[order[2]]),
            origin=(origin[0], origin[1], origin[2]),
            direction=tuple(turned.reshape(-1).tolist()),  # type: ignore[arg-type]  # nine numbers
        )

    def same_grid(self, other: Geometry, *, tolerance: float = 1e-4) -> bool:
        """Whether both have the same size and position, within ``tolerance`` (mm, and cosines)."""
        return self.size == other.size and all(
            np.allclose(getattr(self, name), getattr(other, name), rtol=0, atol=tolerance)
            for name in ("spacing", "origin", "direction")
        )

    def packed(self) -> bytes:
        """This geometry as the 144 bytes that enter an image's digest.

        Little-endian: size as three int64, then spacing, origin and direction as fifteen float64.
        """
        return struct.pack("<3q15d", *self.size, *self.spacing, *self.origin, *self.direction)


def _wrong(name: str, what: str, *, expected: str) -> VolumeError:
    return VolumeError(f"geometry: {name} {what}", violations=(Violation(name, expected),))
