"""Label maps of synthetic scenes: bodies that touch, nest and cover one another, over a Voronoi background."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sixpoint._typing import Bools, Counts, Rng, Shape
from trainer.synthesis.random_fields import coordinates, log_uniform, resample, smooth_noise
from trainer.synthesis.random_shapes import random_body

__all__ = ["AIR", "Canvas", "Scene", "compose_scene", "to_scene", "voronoi_background"]


AIR = 0
"""Label of everything outside the patient; never a target."""
_MAX_LABELS = 200
_ROW_PROBABILITY = 0.12


@dataclass(frozen=True)
class Scene:
    """Label map of a scene, with the relations between its labels.

    Attributes:
        labels: Label of each voxel, [z, y, x]; :data:`AIR` or 1, 2, ...
        background: Number of background regions: labels 1 to ``background``. Higher labels are bodies.
        parent: Body that each label is a part of, or the label itself. An organ is its own label and its parts.
        twin: Label whose tissue each label shares (a neighbour of similar intensity), or the label itself.
    """

    labels: Counts
    background: int
    parent: npt.NDArray[np.uint8]
    twin: npt.NDArray[np.uint8]

    @property
    def count(self) -> int:
        """Number of labels, air included."""
        return len(self.parent)


class Canvas:
    """A label map under construction.

    Args:
        labels: Labels of the background, [z, y, x]; the canvas writes into it.
    """

    def __init__(self, labels: Counts) -> None:
        self.labels = labels
        self.parent = list(range(int(labels.max()) + 1))
        self.twin = list(self.parent)

    def add(
        self,
        mask: Bools,
        corner: npt.NDArray[np.intp],
        *,
        parent: int = -1,
        twin: int = -1,
        within: Bools | None = None,
    ) -> int:
        """Write a body whose box starts at ``corner`` [z, y, x]; return its label, or -1 if it is outside the scene.

        Args:
            mask: Voxels of the body, [z, y, x].
            corner: Index [z, y, x] of the first voxel of ``mask`` in the scene.
            parent: Body that it is a part of; -1 for a body of its own.
            twin: Label whose tissue it shares; -1 for a tissue of its own.
            within: Voxels that it is limited to, of the shape of ``mask``.
        """
        mask = mask if within is None else mask & within
        low = np.maximum(corner, 0)
        high = np.minimum(corner + mask.shape, self.labels.shape)
        if (high <= low).any() or len(self.parent) >= _MAX_LABELS:
            return -1
        label = len(self.parent)
        there = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        here = tuple(slice(a, b) for a, b in zip(low - corner, high - corner, strict=True))
        self.labels[there][mask[here]] = label
        self.parent.append(label if parent < 0 else parent)
        self.twin.append(label if twin < 0 else self.twin[twin])
        return label


def compose_scene(rng: Rng, shape: Shape) -> Scene:
    """Draw a random scene.

    Args:
        rng: Source of all randomness: the same state gives the same scene.
        shape: Shape of the scene, [z, y, x].
    """
    regions = int(log_uniform(rng, 3, 40))
    canvas = Canvas(voronoi_background(rng, shape, regions))
    # Large bodies first, so that small ones lie in and on them.
    edge = min(shape)
    for low, high, count in ((0.4, 0.9, 5), (0.2, 0.42, 14), (0.09, 0.22, 36)):
        for _ in range(int(rng.integers(count // 3, count + 1))):
            _place_body(rng, canvas, extent=log_uniform(rng, low * edge, high * edge))
    return to_scene(canvas, background=regions)


def to_scene(canvas: Canvas, *, background: int) -> Scene:
    """Return what is drawn on a canvas as a scene with ``background`` regions."""
    return Scene(
        labels=canvas.labels,
        background=background,
        parent=np.array(canvas.parent, np.uint8),
        twin=np.array(canvas.twin, np.uint8),
    )


def _place_body(rng: Rng, canvas: Canvas, *, extent: float) -> None:
    """Place a body of about ``extent`` voxels, sometimes with parts or a touching twin, or a row of bodies."""
    if rng.random() < _ROW_PROBABILITY:
        _place_row(rng, canvas, extent)
        return
    sides = np.maximum(np.round(extent * np.exp(rng.normal(0, 0.3, 3))), 4).astype(int)
    size: Shape = (int(sides[0]), int(sides[1]), int(sides[2]))
    mask = random_body(rng, size)
    reach = [(-n // 3, max(full - 2 * n // 3, 1)) for n, full in zip(size, canvas.labels.shape, strict=True)]
    corner = np.array([int(rng.integers(low, high)) for low, high in reach])
    kind = rng.random()
    if kind < 0.2:
        # The twin is written first: the body covers it where they overlap and keeps its own outline.
        direction = rng.normal(size=3)
        shift = np.round(direction / np.abs(direction).max() * sides * rng.uniform(0.6, 1.0)).astype(int)
        other = mask if rng.random() < 0.5 else random_body(rng, size)
        twin = canvas.add(other, corner + shift)
        canvas.add(mask, corner, twin=twin)
        return
    whole = canvas.add(mask, corner)
    if whole < 0 or min(size) < 10:
        return
    if kind < 0.32:
        _hollow_out(rng, canvas, mask, corner, whole)
    elif kind < 0.5:
        for _ in range(rng.integers(1, 4)):
            part_sides = np.maximum(np.round(sides * rng.uniform(0.15, 0.5, 3)), 3).astype(int)
            part = random_body(rng, (int(part_sides[0]), int(part_sides[1]), int(part_sides[2])))
            at = (rng.uniform(0, 1, 3) * (sides - part_sides)).astype(int)
            inner = tuple(slice(a, a + n) for a, n in zip(at, part.shape, strict=True))
            # Most inclusions belong to the body (vessels, necrosis); the others are bodies of their own.
            canvas.add(part & mask[inner], corner + at, parent=whole if rng.random() < 0.8 else -1)


def _place_row(rng: Rng, canvas: Canvas, extent: float) -> None:
    """Place a row of similar bodies with gaps that together are one object: ribs, discs, cartilages, left and right."""
    count, axis = int(rng.integers(2, 8)), int(rng.integers(3))
    sides = extent * np.exp(rng.uniform(np.log(0.08), np.log(0.6), 3))
    sides[axis] = extent / count * rng.uniform(0.3, 0.95)
    z, y, x = np.maximum(np.round(sides), 3).astype(int)
    mask = random_body(rng, (int(z), int(y), int(x)))
    swing, wave, phase = rng.uniform(0, 0.35, 3) * extent, rng.uniform(0, 1.2), rng.uniform(0, 6.3, 3)
    start = rng.uniform(-0.2, 1.0, 3) * canvas.labels.shape
    start[axis] = rng.uniform(-0.3, 1.0) * canvas.labels.shape[axis] - 0.4 * extent
    first = -1
    for number in range(count):
        place = start + swing * np.sin(wave * number + phase)
        place[axis] = start[axis] + number * extent / count
        # The bodies of a pair are mirror images.
        copy = np.flip(mask, axis) if count == 2 and number else mask
        label = canvas.add(copy, np.round(place).astype(np.intp), parent=first, twin=first)
        first = label if first < 0 else first


def _hollow_out(rng: Rng, canvas: Canvas, mask: Bools, corner: npt.NDArray[np.intp], whole: int) -> None:
    """Write a shrunken copy into a body, as its part (cortex and medulla) or as a body of its own (lumen in a wall)."""
    scale = rng.uniform(0.55, 0.88)
    sides = np.maximum(np.round(np.array(mask.shape) * scale), 3).astype(int)
    core = resample(mask, (int(sides[0]), int(sides[1]), int(sides[2]))) > 0.5
    at = (np.array(mask.shape) - sides) // 2
    inner = tuple(slice(a, a + n) for a, n in zip(at, core.shape, strict=True))
    canvas.add(core & mask[inner], corner + at, parent=whole if rng.random() < 0.75 else -1)


def voronoi_background(rng: Rng, shape: Shape, regions: int) -> Counts:
    """Draw deformed Voronoi cells 1 to ``regions``, half of the time within an outline that air surrounds."""
    points = coordinates(shape).copy()
    strength = np.float32(rng.uniform(0.02, 0.12))
    for axis in range(3):
        points[axis] += strength * smooth_noise(rng, shape, rng.uniform(0.1, 0.3) * shape[0])
    nearest = np.full(shape, np.inf, np.float32)
    labels = np.ones(shape, np.uint8)
    stretch = np.exp(rng.normal(0, 0.35, 3)).astype(np.float32)
    z, y, x = points * stretch.reshape(3, 1, 1, 1)
    for label in range(1, regions + 1):
        seed = rng.uniform(-1.1, 1.1, 3).astype(np.float32) * stretch
        # |p - s|^2 - |p|^2: the subtracted term is the same for every seed. Three products per cell.
        distance = np.float32(seed @ seed) - 2 * (z * seed[0] + y * seed[1] + x * seed[2])
        closer = distance < nearest
        labels[closer] = label
        np.minimum(nearest, distance, out=nearest)
    if rng.random() < 0.5:
        centre = rng.uniform(-0.25, 0.25, 3)
        outline = (
            np.abs((points[1] - centre[1]) / rng.uniform(0.7, 1.2)) ** 3
            + np.abs((points[2] - centre[2]) / rng.uniform(0.7, 1.2)) ** 3
            + np.abs((points[0] - centre[0]) / rng.uniform(0.9, 3.0)) ** 3
        )
        labels[outline > 1] = AIR
        skin = (outline > rng.uniform(0.5, 0.9)) & (outline <= 1)
        labels[skin] = 1
    return labels
