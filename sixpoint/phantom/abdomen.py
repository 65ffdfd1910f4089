"""The phantom: a synthetic abdominal CT with known organs, for demos and tests.

It contains no patient data. Organs of nearly equal HU touch each other, and there is fat, bone, air, texture and noise,
so that outlining an organ is a real task. Results on it say nothing about patients.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sixpoint._typing import Array, Bools, Float, Rng
from sixpoint.geometry import Geometry
from sixpoint.volume import Volume

__all__ = ["ORGANS", "Phantom", "make_phantom"]


ORGANS: dict[str, int] = {"liver": 1, "spleen": 2, "kidney_left": 3, "kidney_right": 4, "stomach": 5, "aorta": 6}
"""Organs of the phantom, with their numbers in the label map."""

# Typical unenhanced attenuation, HU.
_HU = {"liver": 58.0, "spleen": 48.0, "kidney_left": 33.0, "kidney_right": 33.0, "stomach": 40.0, "aorta": 44.0}
_AIR, _LUNG, _FAT, _MUSCLE, _BOWEL, _CANCELLOUS, _CORTICAL = -1000.0, -850.0, -95.0, 52.0, 28.0, 180.0, 650.0
_NOISE_HU = 14.0


@dataclass(frozen=True)
class Phantom:
    """A phantom CT and its label map.

    Attributes:
        image: CT in HU, int16.
        labels: Numbers of :data:`ORGANS`, uint8, 0 for background, on the same geometry.
    """

    image: Volume
    labels: Volume

    def mask(self, organ: str) -> npt.NDArray[np.uint8]:
        """The true mask of one organ, uint8 [z, y, x]."""
        return (self.labels.array == ORGANS[organ]).astype(np.uint8)


def make_phantom(*, seed: int = 6) -> Phantom:
    """Make the phantom of a seed: 176 x 136 x 96 voxels of 2 x 2 x 2.5 mm."""
    random = np.random.default_rng(seed)
    size, spacing = (176, 136, 96), (2.0, 2.0, 2.5)
    origin = tuple(-s * (n - 1) / 2 for n, s in zip(size, spacing, strict=True))
    geometry = Geometry(size=size, spacing=spacing, origin=(origin[0], origin[1], origin[2]))
    x, y, z = _warped(geometry, random)
    hu, labels = _paint(x, y, z, random)
    hu = _blur(hu)
    noise = _blur(random.normal(size=hu.shape).astype(np.float32))
    hu += noise * np.float32(_NOISE_HU / noise.std())
    return Phantom(Volume(np.rint(hu).astype(np.int16), geometry), Volume(labels, geometry))


def _warped(geometry: Geometry, random: Rng) -> tuple[Float, Float, Float]:
    """Patient coordinates (mm) of every voxel, [z, y, x], bent by a few waves against perfect ellipsoids."""
    axes = [
        (np.arange(n) * s + o).astype(np.float32)
        for n, s, o in zip(geometry.size, geometry.spacing, geometry.origin, strict=True)
    ]
    z, y, x = np.meshgrid(axes[2], axes[1], axes[0], indexing="ij")
    bent = []
    for axis in (x, y, z):
        shift = np.zeros_like(axis)
        for wavelength, amplitude in ((150.0, 5.0), (80.0, 3.0), (45.0, 1.6)):
            direction = random.normal(size=3)
            k = direction / np.linalg.norm(direction) * 2 * np.pi / wavelength
            shift += amplitude * np.sin(k[0] * x + k[1] * y + k[2] * z + random.uniform(0, 2 * np.pi))
        bent.append((axis + shift).astype(np.float32))
    return bent[0], bent[1], bent[2]


def _paint(x: Float, y: Float, z: Float, random: Rng) -> tuple[Float, npt.NDArray[np.uint8]]:
    def ellipsoid(centre: tuple[float, float, float], radii: tuple[float, float, float], tilt: float = 0.0) -> Bools:
        u, v = x - centre[0], y - centre[1]
        cos, sin = np.cos(np.deg2rad(tilt)), np.sin(np.deg2rad(tilt))
        u, v = cos * u + sin * v, cos * v - sin * u
        return (u / radii[0]) ** 2 + (v / radii[1]) ** 2 + ((z - centre[2]) / radii[2]) ** 2 < 1

    def column(centre: tuple[float, float], radii: tuple[float, float]) -> Bools:
        return ((x - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2 < 1

    hu = np.full(x.shape, _AIR, np.float32)
    labels = np.zeros(x.shape, np.uint8)
    body, wall, cavity = column((0, 5), (165, 122)), column((0, 5), (148, 105)), column((0, -2), (132, 88))
    hu[body], hu[wall], hu[cavity] = _FAT, _MUSCLE, _FAT
    # Bowel: blobs of soft tissue in the mesenteric fat.
    blobs = np.sin(x / 9.0 + np.sin(z / 13.0)) + np.sin(y / 10.0 + 1.3) + np.sin(z / 12.0 + np.sin(x / 17.0))
    hu[cavity & (blobs > 0.6) & (z < 30)] = _BOWEL
    # Bases of the lungs, above the diaphragm.
    hu[cavity & (z > 118 - ((x / 105.0) ** 2 + (y / 75.0) ** 2) * 62) & (np.abs(x) > 22)] = _LUNG
    psoas = column((42, 62), (22, 20)) | column((-42, 62), (22, 20))
    hu[psoas] = _MUSCLE

    organs: dict[str, Bools] = {
        "stomach": ellipsoid((52, -34, 22), (44, 34, 52), tilt=25) & ~ellipsoid((8, -10, -6), (36, 34, 40)),
        "spleen": ellipsoid((100, 34, 28), (26, 42, 46), tilt=-18) & ~ellipsoid((64, 18, 24), (26, 30, 40)),
        "liver": (ellipsoid((-62, -6, 22), (66, 66, 62), tilt=12) | ellipsoid((0, -42, 30), (62, 28, 30), tilt=8))
        & ~ellipsoid((-22, 44, -30), (40, 36, 50)),
        "kidney_left": ellipsoid((66, 48, -38), (25, 25, 50), tilt=30) & ~ellipsoid((48, 38, -38), (13, 11, 17)),
        "kidney_right": ellipsoid((-66, 50, -48), (25, 25, 50), tilt=-30) & ~ellipsoid((-48, 40, -48), (13, 11, 17)),
        "aorta": column((12, 36), (11, 11)),
    }
    for name, inside in organs.items():
        place = inside & cavity if name != "aorta" else inside
        labels[place] = ORGANS[name]
        hu[place] = _HU[name]
    # Gas in the stomach, vessels in the liver, a cyst in a kidney: organs are not uniform.
    hu[(labels == ORGANS["stomach"]) & (y < -52)] = _AIR * 0.8
    vessels = np.abs(np.sin(x / 14 + np.sin(y / 18)) + np.sin(z / 15 + np.sin(x / 21))) < 0.10
    hu[(labels == ORGANS["liver"]) & vessels] = _HU["liver"] - 22
    hu[ellipsoid((70, 52, -60), (9, 9, 9)) & (labels == ORGANS["kidney_left"])] = 8.0
    hu[column((-20, 32), (12, 10)) & (labels == 0)] = 42.0
    _add_bones(hu, labels, x, y, z)
    texture = _blur(_blur(random.normal(size=hu.shape).astype(np.float32)))
    hu += np.where(labels > 0, texture * np.float32(6.0 / texture.std()), 0)
    return hu, labels


def _add_bones(hu: Float, labels: Array, x: Float, y: Float, z: Float) -> None:
    """Paint a spine with discs, and ribs in the body wall."""
    vertebra = np.hypot(x / 25, (y - 66) / 20)
    disc = np.abs((z + 200) % 34 - 17) > 13.5
    hu[vertebra < 1] = _CORTICAL
    hu[vertebra < 0.88] = _CANCELLOUS
    hu[(vertebra < 1) & disc] = 85.0
    arch = np.hypot(x / 17, (y - 94) / 13)
    hu[(arch < 1.25) & ~disc] = _CORTICAL
    hu[arch < 0.8] = 25.0
    radius = np.hypot(x / 142, (y - 3) / 98)
    rib = (np.abs(radius - 1) < 0.035) & (np.abs((z + 0.5 * y + 200) % 36 - 18) < 6) & (y < 85)
    hu[rib] = _CORTICAL
    labels[(vertebra < 1) | (arch < 1.25) | rib] = 0


def _blur(array: Float) -> Float:
    """Blur like a scanner's partial volume effect: binomial filter 1-2-1 along every axis."""
    for axis in range(3):
        padded = np.pad(array, [(1, 1) if a == axis else (0, 0) for a in range(3)], mode="edge")
        first, middle, last = (
            np.take(padded, range(start, start + array.shape[axis]), axis=axis) for start in range(3)
        )
        array = ((first + 2 * middle + last) / 4).astype(np.float32)
    return array
