"""Random body shapes, each a random field over a cube that is positive inside the body.

A family of shapes maps deformed and rotated coordinates [3, z, y, x] (-1 to 1 in the cube) to a field [z, y, x]. Bodies
need not look like organs: extent, fill, thickness, curvature and symmetry must vary as widely as in patients.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from sixpoint._typing import Bools, Float, Floating, Points, Rng, Shape
from trainer.synthesis.random_fields import coordinates, log_uniform, resample, smooth_noise

__all__ = ["FAMILIES", "GROUP_PROBABILITIES", "random_body"]

_REACH = 1.25


def _single(field: Floating) -> Float:
    """Convert a field to single precision, without a copy if it is already."""
    return np.asarray(field, np.float32)


def _radius(p: Float, radii: npt.ArrayLike, power: float = 2.0) -> Float:
    """Compute the radius of each point relative to a superellipsoid of these radii: below 1 inside."""
    scale = np.asarray(radii, np.float32).reshape(3, 1, 1, 1)
    return _single((np.abs(p / scale) ** np.float32(power)).sum(axis=0) ** np.float32(1.0 / power))


def _distance(p: Float, path: Points) -> Float:
    """Compute the distance of every point to the polyline ``path``, shape [n, 3]."""
    nearest = np.full(p.shape[1:], np.inf, np.float32)
    for start, end in itertools.pairwise(path):
        step = (end - start).astype(np.float32)
        offset = p - start.astype(np.float32).reshape(3, 1, 1, 1)
        along = np.clip(np.tensordot(step, offset, axes=1) / max(float(step @ step), 1e-6), 0, 1)
        offset -= step.reshape(3, 1, 1, 1) * along
        np.minimum(nearest, np.einsum("izyx,izyx->zyx", offset, offset), out=nearest)
    return np.sqrt(nearest)


def _superellipsoid(rng: Rng, p: Float) -> Float:
    return 1 - _radius(p, rng.uniform(0.5, 1, 3), log_uniform(rng, 1.4, 5))


def _lobed(rng: Rng, p: Float) -> Float:
    r = np.sqrt((p**2).sum(axis=0)) + 1e-6
    surface = np.ones_like(r)
    for _ in range(4):
        wave = rng.normal(0, 2.2, 3).astype(np.float32)
        surface += np.float32(rng.uniform(0.05, 0.22)) * np.cos(np.tensordot(wave, p / r, axes=1) + rng.uniform(0, 6.3))
    return _single(0.75 * surface - r)


def _blobs(rng: Rng, p: Float) -> Float:
    field = np.zeros(p.shape[1:], np.float32)
    for _ in range(rng.integers(2, 6)):
        centre = rng.uniform(-0.55, 0.55, 3).astype(np.float32).reshape(3, 1, 1, 1)
        field += np.exp(-(((p - centre) / rng.uniform(0.3, 0.6)) ** 2).sum(axis=0))
    return field - np.float32(rng.uniform(0.4, 0.6))


def _noise(rng: Rng, p: Float) -> Float:
    shape = (p.shape[1], p.shape[2], p.shape[3])
    noise = smooth_noise(rng, shape, log_uniform(rng, 0.12, 0.3) * shape[0])
    return _single(0.8 - np.sqrt((p**2).sum(axis=0)) + np.float32(rng.uniform(0.15, 0.4)) * noise)


def _bent(rng: Rng, p: Float) -> Float:
    bow = np.float32(rng.uniform(0.3, 1.1))
    x = p[2] + bow * (p[0] ** 2 - 0.4)
    thick = rng.uniform(0.25, 0.6)
    return 1 - _radius(np.stack([p[0], p[1], x]), (1.0, rng.uniform(0.35, 0.9), thick), log_uniform(rng, 1.6, 3))


def _bitten(rng: Rng, p: Float) -> Float:
    whole = 1 - _radius(p, (1.0, rng.uniform(0.6, 0.9), rng.uniform(0.5, 0.9)), log_uniform(rng, 1.7, 3))
    direction = rng.normal(size=3)
    centre = (direction / np.linalg.norm(direction) * rng.uniform(0.6, 1.1)).astype(np.float32).reshape(3, 1, 1, 1)
    return np.minimum(whole, _radius(p - centre, rng.uniform(0.35, 0.9, 3)) - 1)


def _wedge(rng: Rng, p: Float) -> Float:
    field = 1 - _radius(p, rng.uniform(0.75, 1, 3), log_uniform(rng, 1.8, 3))
    for _ in range(rng.integers(1, 4)):
        normal = rng.normal(size=3)
        normal /= np.linalg.norm(normal)
        depth = np.float32(rng.uniform(0.0, 0.5))
        field = np.minimum(field, depth - np.tensordot(normal.astype(np.float32), p, axes=1))
    return field


def _curve(rng: Rng, points: int = 14) -> Points:
    """Draw a smooth random path [n, 3] across the cube."""
    t = np.linspace(-1, 1, points)
    path = np.stack([t * rng.uniform(0.5, 1) * 0.85, np.zeros(points), np.zeros(points)], axis=1)
    for axis in range(3):
        path[:, axis] += rng.uniform(0, 0.55) * np.sin(t * rng.uniform(1, 4.5) + rng.uniform(0, 6.3))
    return path


def _tube(rng: Rng, p: Float) -> Float:
    radius = np.float32(log_uniform(rng, 0.13, 0.4)) * (1 + np.float32(rng.uniform(-0.45, 0.45)) * p[0])
    return _single(radius - _distance(p, _curve(rng)))


def _tree(rng: Rng, p: Float) -> Float:
    trunk, radius = _curve(rng, 8), log_uniform(rng, 0.12, 0.2)
    field = np.float32(radius) - _distance(p, trunk)
    for _ in range(rng.integers(1, 5)):
        start = trunk[rng.integers(1, len(trunk) - 1)]
        way = rng.normal(size=3)
        end = np.clip(start + way / np.linalg.norm(way) * rng.uniform(0.5, 1.1), -0.95, 0.95)
        middle = (start + end) / 2 + rng.normal(0, 0.12, 3)
        limb = np.float32(radius * rng.uniform(0.5, 0.95)) - _distance(p, np.stack([start, middle, end]))
        field = np.maximum(field, limb)
    return field


def _vertebra(rng: Rng, p: Float) -> Float:
    height = rng.uniform(0.3, 0.6)
    centre = np.array([0, 0.45, 0], np.float32).reshape(3, 1, 1, 1)
    block = 1 - _radius(p - centre, (height, rng.uniform(0.3, 0.45), rng.uniform(0.45, 0.6)), log_uniform(rng, 2.5, 5))
    canal = np.hypot(p[1] + 0.1, p[2] * rng.uniform(0.8, 1.2)) - np.float32(rng.uniform(0.17, 0.28))
    arch = np.minimum(np.float32(rng.uniform(0.32, 0.42)) - np.hypot(p[1] + 0.1, p[2]), height * 0.7 - np.abs(p[0]))
    field = np.minimum(np.maximum(block, arch), canal * 3)
    for end in ((-0.1, -0.35, 0.9), (-0.1, -0.35, -0.9), (-0.4, -0.95, 0), (0.6, -0.3, 0.3), (-0.6, -0.3, -0.3)):
        path = np.stack([np.array([0, -0.25, 0.3 * np.sign(end[2])]), np.array(end) * rng.uniform(0.7, 1.05)])
        field = np.maximum(field, np.float32(rng.uniform(0.09, 0.17)) - _distance(p, path))
    return _single(field)


def _sheet(rng: Rng, p: Float) -> Float:
    height = np.float32(rng.uniform(-0.6, 0.6)) * p[1] ** 2 + np.float32(rng.uniform(-0.6, 0.6)) * p[2] ** 2
    height += np.float32(rng.uniform(0, 0.3)) * np.sin(p[1] * rng.uniform(1, 4) + p[2] * rng.uniform(1, 4))
    rim = 1 - _radius(p[[1, 1, 2]], (2.0, rng.uniform(0.7, 1), rng.uniform(0.5, 1)), log_uniform(rng, 1.5, 4))
    return _single(np.minimum(np.float32(log_uniform(rng, 0.1, 0.3)) - np.abs(p[0] - height), rim * 0.5))


def _arch(rng: Rng, p: Float) -> Float:
    angles = np.linspace(0, rng.uniform(1.8, 6.3), 18)
    radius = rng.uniform(0.6, 0.8)
    path = np.stack([angles * rng.uniform(-0.1, 0.1), radius * np.cos(angles), radius * np.sin(angles)], axis=1)
    return np.float32(log_uniform(rng, 0.12, 0.3)) - _distance(p, path)


def _shell(rng: Rng, p: Float) -> Float:
    r = _radius(p, rng.uniform(0.7, 1, 3), log_uniform(rng, 1.7, 3))
    field = np.minimum(1 - r, r - np.float32(rng.uniform(0.55, 0.88)))
    return _single(np.minimum(field, np.float32(rng.uniform(0.0, 1.2)) - p[0]) if rng.random() < 0.6 else field)


def _sickle(rng: Rng, p: Float) -> Float:
    whole = 1 - _radius(p, rng.uniform(0.75, 1, 3), log_uniform(rng, 1.8, 3))
    shift = rng.normal(0, 0.3, 3)
    shift[0] = rng.uniform(0.2, 0.6)
    centre = shift.astype(np.float32).reshape(3, 1, 1, 1)
    return np.minimum(whole, _radius(p - centre, rng.uniform(0.8, 1.1, 3), log_uniform(rng, 1.8, 3)) - 1)


def _oblique(rng: Rng, p: Float) -> Float:
    q = p.copy()
    q[1] += np.float32(rng.uniform(0.4, 1.0) * rng.choice([-1, 1])) * p[0]
    q[2] += np.float32(rng.uniform(0.0, 0.9) * rng.choice([-1, 1])) * p[0]
    return 1 - _radius(q, (0.95, rng.uniform(0.2, 0.55), rng.uniform(0.2, 0.6)), log_uniform(rng, 1.6, 3))


def _ball(rng: Rng, p: Float) -> Float:
    return 1 - _radius(p, rng.uniform(0.8, 1, 3), log_uniform(rng, 1.8, 2.4))


def _box(rng: Rng, p: Float) -> Float:
    return 1 - _radius(p, rng.uniform(0.5, 0.85, 3), log_uniform(rng, 4, 14))


def _disc(rng: Rng, p: Float) -> Float:
    plane = _radius(p[[1, 1, 2]], (2.0, rng.uniform(0.6, 1), rng.uniform(0.6, 1)), log_uniform(rng, 1.8, 4))
    dome = np.float32(rng.uniform(-0.15, 0.15)) * (p[1] ** 2 + p[2] ** 2)
    return _single(np.minimum(1 - plane, np.float32(rng.uniform(0.2, 0.8)) - np.abs(p[0] + dome)))


def _extrusion(rng: Rng, p: Float) -> Float:
    flat = _lobed(rng, np.stack([np.full_like(p[0], 0.01), p[1], p[2]]))
    taper = np.float32(rng.uniform(-0.25, 0.25)) * p[0]
    return _single(np.minimum(flat + taper, np.float32(rng.uniform(0.5, 0.95)) - np.abs(p[0])))


def _tumour(rng: Rng, p: Float) -> Float:
    shape = (p.shape[1], p.shape[2], p.shape[3])
    rough = smooth_noise(rng, shape, log_uniform(rng, 0.07, 0.2) * shape[0])
    return 1 - _radius(p, rng.uniform(0.7, 0.95, 3)) + np.float32(rng.uniform(0.04, 0.16)) * rough


Family = Callable[[Rng, Float], Float]
FAMILIES: Mapping[str, Mapping[str, Family]] = {
    "general": {
        "superellipsoid": _superellipsoid,
        "lobed": _lobed,
        "blobs": _blobs,
        "noise": _noise,
        "bent": _bent,
        "bitten": _bitten,
        "wedge": _wedge,
    },
    "hard": {
        "tube": _tube,
        "tree": _tree,
        "vertebra": _vertebra,
        "sheet": _sheet,
        "arch": _arch,
        "shell": _shell,
        "sickle": _sickle,
        "oblique": _oblique,
    },
    "solid": {"ball": _ball, "box": _box, "disc": _disc, "extrusion": _extrusion, "tumour": _tumour},
}
"""Shape families by group."""

GROUP_PROBABILITIES: Mapping[str, float] = {"general": 0.38, "hard": 0.37, "solid": 0.25}
"""Probability of each group: hard bodies help with organs, solid ones with compact lesions."""


def random_body(rng: Rng, size: Shape, *, families: Sequence[str] = ()) -> Bools:
    """Draw a random body that touches all six faces of its box.

    Args:
        rng: Source of randomness.
        size: Shape of the box, [z, y, x].
        families: Names of the families to draw from, with equal probability; empty: all, by their groups'.

    Returns:
        Mask of shape ``size``: one connected component. Rarely, thin parts vanish on the grid and a face stays empty.
    """
    group, name = _draw_family(rng, families)
    family = FAMILIES[group][name]
    cells = int(np.clip(1.15 * max(size), 20, 40))
    grid: Shape = (cells, cells, cells)
    field = np.asarray(family(rng, _random_coordinates(rng, grid, solid=group == "solid")), np.float32)
    inside = _largest_component(field > 0)
    if not inside.any():
        return np.ones(size, np.bool_)
    box = ndimage.find_objects(inside.astype(np.uint8))[0]
    # Without this, other components would reappear when the field is resampled.
    field = np.where(inside | (field <= 0), field, np.float32(-0.02))[box]
    # Clipped, so that large values far from the surface shift it less when the field is resampled.
    edge = 0.5 * np.abs(field).max()
    return _largest_component(resample(np.clip(field, -edge, edge), size) > 0)


def _draw_family(rng: Rng, families: Sequence[str]) -> tuple[str, str]:
    """Draw a family; return its group and its name."""
    if families:
        name = families[int(rng.integers(len(families)))]
        return next(group for group, members in FAMILIES.items() if name in members), name
    groups = list(GROUP_PROBABILITIES)
    group = groups[int(rng.choice(len(groups), p=list(GROUP_PROBABILITIES.values())))]
    names = list(FAMILIES[group])
    return group, names[int(rng.integers(len(names)))]


def _random_coordinates(rng: Rng, grid: Shape, *, solid: bool) -> Float:
    """Draw deformed, rotated coordinates of a cube: any rotation for half of the bodies, a small one for the others."""
    p = coordinates(grid, _REACH).reshape(3, -1)
    angle = rng.uniform(0, np.pi) if rng.random() < 0.5 else abs(rng.normal(0, 0.2))
    axis = rng.normal(size=3)
    axis /= np.linalg.norm(axis)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    turn = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)
    turn = turn[rng.permutation(3)] * rng.choice([-1.0, 1.0], size=(3, 1))
    placed: Float = (turn.astype(np.float32) @ p).reshape(3, *grid)
    strength = np.float32(rng.uniform(0, 0.05 if solid else 0.14))
    for k in range(3):
        placed[k] += strength * smooth_noise(rng, grid, rng.uniform(0.25, 0.5) * grid[0])
    return placed


def _largest_component(mask: Bools) -> Bools:
    """Return the largest face-connected component of a mask."""
    labels, count = ndimage.label(mask)
    if count < 2:
        return mask
    return np.asarray(labels == 1 + int(np.argmax(np.bincount(labels.reshape(-1))[1:])), np.bool_)
