"""A second phantom: scans of a curved, hollow organ that no model was trained on, to see how a model learns.

The organ is the wall of a horseshoe of tube, without its lumen. It touches a plate that is as bright, and a piece of
another tube lies in its opening. A model that has seen only solid organs fills the lumen, and clicks do not change its
mind. The scans contain no patient data, and results on them say nothing about patients.
"""

from __future__ import annotations

import numpy as np

from sixpoint._typing import Bools, Float
from sixpoint.geometry import Geometry
from sixpoint.phantom.abdomen import Phantom
from sixpoint.volume import Volume

__all__ = ["COIL", "make_coil"]

COIL = "coil"
"""Name of the organ. Its number in the label map is 1."""
_SIZE, _SPACING = (64, 60, 44), (1.5, 1.5, 2.0)
_TISSUE, _WALL, _LUMEN, _NOISE = 300.0, 520.0, 320.0, 28.0


def make_coil(*, seed: int) -> Phantom:
    """Make the scan of a seed: 64 x 60 x 44 voxels of 1.5 x 1.5 x 2 mm, int16, of no modality's units."""
    random = np.random.default_rng((seed, 17))
    geometry = Geometry(size=_SIZE, spacing=_SPACING)
    x, y, z = _bent(geometry, random)
    radius, thickness = random.uniform(19, 24), random.uniform(7.5, 9.5)
    opening = random.uniform(0, 2 * np.pi)
    # Distance from the middle line of the horseshoe, whose ends lie on either side of its opening.
    angle = (np.arctan2(y, x) - opening + 2 * np.pi) % (2 * np.pi)
    gap = random.uniform(0.55, 0.85)
    nearest = np.clip(angle, gap, 2 * np.pi - gap)
    rise = random.uniform(-7, 7) * (nearest / np.pi - 1)
    distance = np.sqrt(
        (x - radius * np.cos(nearest + opening)) ** 2 + (y - radius * np.sin(nearest + opening)) ** 2 + (z - rise) ** 2
    )
    organ: Bools = distance < thickness
    lumen = distance < thickness * random.uniform(0.5, 0.62)
    scan = np.full(x.shape, _TISSUE, np.float32)
    scan += 45 * np.sin(x / 11 + np.sin(z / 9)) * np.sin(y / 13)
    # As bright as the wall, and touching it: a plate beneath, and a piece of tube in the opening.
    scan[np.abs(z + thickness + 4) < 3.5] = _WALL - 20
    centre = np.array([np.cos(opening), np.sin(opening)]) * radius * random.uniform(0.2, 0.5)
    piece = np.sqrt((x - centre[0]) ** 2 + (y - centre[1]) ** 2)
    scan[(piece < 7) & (piece > 4)] = _WALL - 10
    scan[organ] = _WALL
    scan[lumen] = _LUMEN
    scan = _blur(scan) + random.normal(0, _NOISE, scan.shape).astype(np.float32)
    labels = (organ & ~lumen).astype(np.uint8)
    return Phantom(Volume(np.rint(scan).astype(np.int16), geometry), Volume(labels, geometry))


def _bent(geometry: Geometry, random: np.random.Generator) -> tuple[Float, Float, Float]:
    """Distances (mm) of every voxel from the middle of the organ, [z, y, x], bent by two waves."""
    shift = random.uniform(-5, 5, 3)
    axes = [
        ((np.arange(n) - (n - 1) / 2) * s + d).astype(np.float32)
        for n, s, d in zip(geometry.size, geometry.spacing, shift, strict=True)
    ]
    z, y, x = np.meshgrid(axes[2], axes[1], axes[0], indexing="ij")
    bent = []
    for axis in (x, y, z):
        moved = axis
        for wavelength, amplitude in ((70.0, 3.0), (35.0, 1.2)):
            direction = random.normal(size=3)
            k = direction / np.linalg.norm(direction) * 2 * np.pi / wavelength
            moved = moved + amplitude * np.sin(k[0] * x + k[1] * y + k[2] * z + random.uniform(0, 2 * np.pi))
        bent.append(moved.astype(np.float32))
    return bent[0], bent[1], bent[2]


def _blur(array: Float) -> Float:
    for axis in range(3):
        array = ((np.roll(array, 1, axis) + 2 * array + np.roll(array, -1, axis)) / 4).astype(np.float32)
    return array
