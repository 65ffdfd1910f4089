"""The one check of slices, of classic series and of multi-frame files alike, and the geometry that they make up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from sixpoint._typing import Points, Vector
from sixpoint.errors import VolumeError
from sixpoint.geometry import Geometry
from sixpoint.io.dicom.frames import Frame
from sixpoint.io.spacing import SPACING_HINT, check_typed_spacing

__all__ = ["stack_frames"]

# How far a slice may lie from where an even spacing puts it, in slices; scanners round positions to some digits.
_UNEVEN_SLICES = 0.1
# How far a slice's pixel spacing (relatively) and cosines may lie from the first's: half a voxel in 512.
_LIKE_THE_FIRST = 1e-3
# How far cosines may be from unit length: they are rounded to two digits at the coarsest.
_UNIT_LENGTH = 0.02


def stack_frames(frames: Sequence[Frame], source: Path, *, spacing: Vector | None) -> tuple[list[Frame], Geometry]:
    """Sort slices along their normal and give the geometry of the volume.

    Args:
        frames: Slices in any order.
        source: Path that the user typed, for error messages.
        spacing: Spacing (x, y, z) in mm, for what the header lacks; None to accept headers that lack nothing.

    Raises:
        VolumeError: When the slices differ in size, orientation, pixel spacing, stack, time or echo; lie at one
            position, unevenly or shifted sideways; or lack what ``spacing`` does not give.
    """
    _check_alike(frames, source)
    first = frames[0]
    row_mm, column_mm = first.pixel_spacing or (0.0, 0.0)
    if min(row_mm, column_mm) <= 0:
        if spacing is None:
            raise VolumeError(f"{source}: the header has no usable PixelSpacing; {SPACING_HINT}")
        column_mm, row_mm = spacing[:2]
    ordered, slice_mm = _sort(frames, source, spacing)
    header_spacing = (column_mm, row_mm, slice_mm)
    check_typed_spacing(header_spacing, spacing, source)
    axes = _axes(first.orientation, source) if first.orientation else np.eye(3)
    geometry = Geometry(
        size=(first.pixels.columns, first.pixels.rows, len(ordered)),
        spacing=header_spacing,
        origin=ordered[0].position or (0.0, 0.0, 0.0),
        direction=_direction(axes),  # type: ignore[arg-type]  # nine of them
    )
    if first.position:
        _check_even(ordered, geometry, source)
    return ordered, geometry


def _sort(frames: Sequence[Frame], source: Path, spacing: Vector | None) -> tuple[list[Frame], float]:
    """The slices from first to last, and the millimetres between them."""
    first = frames[0]
    if first.position is None:
        return _sort_without_positions(frames, source, spacing)
    if first.orientation is None:
        raise VolumeError(f"{source}: the slices have no ImageOrientationPatient; export the series with it")
    if len(frames) == 1:
        if spacing is None:
            raise VolumeError(
                f"{source} holds one slice, so the distance to the next is unknown (its thickness is another thing); "
                f"give the folder of the whole series, or {SPACING_HINT}"
            )
        return list(frames), spacing[2]
    normal = _axes(first.orientation, source)[2]
    heights = [float(normal @ np.array(frame.position)) for frame in frames]
    ordered = [frames[n] for n in np.argsort(heights, kind="stable")]
    heights.sort()
    length = _distance(ordered[0].position or (), ordered[-1].position or ())
    slice_mm = length / (len(ordered) - 1)
    at_one_place = int(np.count_nonzero(np.diff(heights) <= _UNEVEN_SLICES * slice_mm))
    if at_one_place:
        raise VolumeError(
            f"{source} has {len(frames)} slices at {len(frames) - at_one_place} positions: several times, echoes or "
            "images (4D), or copies; export those of one volume alone"
        )
    return ordered, slice_mm


def _sort_without_positions(frames: Sequence[Frame], source: Path, spacing: Vector | None) -> tuple[list[Frame], float]:
    """The slices by their numbers, as far as a person has said how far they lie apart."""
    if spacing is None:
        raise VolumeError(
            f"{source}: the slices have no position (ImagePositionPatient), so their order and distance are unknown; "
            f"export them with positions. To take them in the order of their numbers, {SPACING_HINT}"
        )
    given = [frame.number for frame in frames]
    if None in given or len(set(given)) < len(given):
        raise VolumeError(
            f"{source}: the slices have neither positions nor distinct instance numbers, so their order is unknown; "
            "export them with positions"
        )
    return sorted(frames, key=lambda frame: frame.number or 0), spacing[2]


def _check_alike(frames: Sequence[Frame], source: Path) -> None:
    """Refuse slices that one geometry cannot hold."""
    first = frames[0]
    for frame in frames:
        for what, equal in (
            ("size", (frame.pixels.rows, frame.pixels.columns) == (first.pixels.rows, first.pixels.columns)),
            ("pixel spacing", _close(frame.pixel_spacing, first.pixel_spacing, relative=_LIKE_THE_FIRST)),
            ("orientation", _close(frame.orientation, first.orientation, absolute=_LIKE_THE_FIRST)),
        ):
            if not equal:
                raise VolumeError(
                    f"{source}: {frame.name} has another {what} than {first.name}; put slices of one kind into a "
                    "folder of their own"
                )
        if (frame.position is None) != (first.position is None):
            lacking = frame if frame.position is None else first
            raise VolumeError(f"{source}: {lacking.name} has no position; export the series with all positions")
    for what, values in zip(
        ("stacks", "times", "echo times"), zip(*(f.group for f in frames), strict=True), strict=True
    ):
        if len(set(values)) > 1:
            raise VolumeError(
                f"{source} holds {len(set(values))} {what} in one file or series; export those of one volume alone"
            )


def _check_even(ordered: Sequence[Frame], geometry: Geometry, source: Path) -> None:
    """Refuse slices that do not lie where an even spacing along the normal puts them."""
    slice_mm = geometry.spacing[2]
    expected = geometry.index_to_point([(0, 0, n) for n in range(len(ordered))])
    off: Points = np.array([frame.position for frame in ordered]) - expected
    far = np.linalg.norm(off, axis=1)
    worst = int(np.argmax(far))
    if far[worst] <= _UNEVEN_SLICES * slice_mm:
        return
    normal = np.array(geometry.direction).reshape(3, 3)[:, 2]
    along = abs(float(off[worst] @ normal))
    sideways = math.sqrt(max(float(far[worst]) ** 2 - along**2, 0.0))
    what = f"{source}: {ordered[worst].name} lies {far[worst]:.2f} mm off an even spacing of {slice_mm:.2f} mm: "
    if sideways > along:
        raise VolumeError(
            what + "slices are shifted sideways (tilted gantry); resample the series to an upright one first"
        )
    raise VolumeError(what + "slices are missing or unevenly spaced; export the whole series")


def _axes(orientation: tuple[float, ...], source: Path) -> Points:
    """The unit vectors of x, y and z in rows, from the cosines of an image's rows and columns."""
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    lengths = [float(np.linalg.norm(axis)) for axis in (row, column)]
    square = abs(float(row @ column)) <= _LIKE_THE_FIRST
    if not square or max(abs(length - 1) for length in lengths) > _UNIT_LENGTH:
        raise VolumeError(
            f"{source}: ImageOrientationPatient is not two unit vectors at right angles; correct the header"
        )
    if max(abs(length**2 - 1) for length in lengths) > _LIKE_THE_FIRST:
        row, column = row / lengths[0], column / lengths[1]
    # Made orthogonal as ITK does, to the bit: an image's digest covers its direction.
    normal = _unit(_cross(row, column))
    row = _unit(_cross(column, normal))
    return np.array([row, _cross(normal, row), normal])


def _direction(axes: Points) -> tuple[float, ...]:
    """The row-major direction of unit vectors in rows, with ITK's signs of zeros, which a digest covers, too."""
    image = sitk.Image(1, 1, 1, sitk.sitkUInt8)
    image.SetDirection(axes.T.reshape(-1).tolist())
    direction: tuple[float, ...] = image.GetDirection()
    return direction


def _cross(a: Points, b: Points) -> Points:
    return np.array([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])


def _unit(a: Points) -> Points:
    return a * (1.0 / math.sqrt(a[0] * a[0] + a[1] * a[1] + a[2] * a[2]))


def _distance(a: Sequence[float], b: Sequence[float]) -> float:
    return math.sqrt(sum((y - x) * (y - x) for x, y in zip(a, b, strict=True)))


def _close(
    these: tuple[float, ...] | None,
    those: tuple[float, ...] | None,
    *,
    relative: float = 0.0,
    absolute: float = 0.0,
) -> bool:
    if these is None or those is None:
        return these is those
    return all(math.isclose(a, b, rel_tol=relative, abs_tol=absolute) for a, b in zip(these, those, strict=True))
