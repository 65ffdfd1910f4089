"""Scenes of compact bodies with an uneven interior and unsharp edges, as prostates in ultrasound, discs and tumours.

Where scenes have mostly sparse bodies, a network learns that an uneven interior means that the body has gaps, and cuts
or hollows the compact ones.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage

from sixpoint._typing import Bools, Float, Rng, Shape
from trainer.synthesis.intensity_synthesis import SyntheticScan, simulate_scan
from trainer.synthesis.label_synthesis import Canvas, Scene, to_scene, voronoi_background
from trainer.synthesis.random_fields import coordinates, log_uniform, smooth_noise
from trainer.synthesis.random_shapes import random_body

__all__ = ["compose_compact_scene", "simulate_uneven_scan"]

_MIN_FILL = 0.42
"""Fill of its box that a body needs to count as compact."""
_MAX_DRAWS = 6
_FAMILIES = ("ball", "box", "disc", "extrusion", "tumour", "superellipsoid", "lobed", "wedge")


def compose_compact_scene(rng: Rng, shape: Shape) -> Scene:
    """Draw a scene of compact bodies, most of them with zones or inclusions that belong to them.

    Args:
        rng: Source of all randomness: the same state gives the same scene.
        shape: Shape of the scene, [z, y, x].
    """
    regions = int(log_uniform(rng, 2, 12))
    canvas = Canvas(voronoi_background(rng, shape, regions))
    edge = min(shape)
    for low, high, count in ((0.35, 0.75, 4), (0.15, 0.35, 10), (0.08, 0.16, 12)):
        for _ in range(int(rng.integers(count // 2, count + 1))):
            _place_compact(rng, canvas, extent=log_uniform(rng, low * edge, high * edge))
    return to_scene(canvas, background=regions)


def _place_compact(rng: Rng, canvas: Canvas, *, extent: float) -> None:
    """Place a compact body of about ``extent`` voxels: often with zones, sometimes beside a twin of its own tissue."""
    sides = np.maximum(np.round(extent * np.exp(rng.normal(0, 0.3, 3))), 5).astype(int)
    if rng.random() < 0.2:
        sides[int(rng.integers(3))] = max(4, int(extent * rng.uniform(0.12, 0.35)))  # discs
    size: Shape = (int(sides[0]), int(sides[1]), int(sides[2]))
    mask = _compact_body(rng, size)
    corner = np.array(
        [
            int(rng.integers(-n // 4, max(full - 3 * n // 4, 1)))
            for n, full in zip(size, canvas.labels.shape, strict=True)
        ]
    )
    twin = -1
    if rng.random() < 0.3:
        direction = rng.normal(size=3)
        shift = np.round(direction / np.abs(direction).max() * sides * rng.uniform(0.8, 1.05)).astype(int)
        twin = canvas.add(_compact_body(rng, size), corner + shift)
    whole = canvas.add(mask, corner, twin=twin)
    if whole >= 0 and min(size) >= 8 and rng.random() < 0.75:
        _add_zones(rng, canvas, mask, corner, whole)


def _compact_body(rng: Rng, size: Shape) -> Bools:
    for _ in range(_MAX_DRAWS):
        mask = random_body(rng, size, families=_FAMILIES)
        if mask.mean() >= _MIN_FILL:
            break
    return mask


def _add_zones(rng: Rng, canvas: Canvas, mask: Bools, corner: np.ndarray, whole: int) -> None:
    """Divide a body into zones: a core, a half, or a number of inclusions; all of them belong to it."""
    places = coordinates((mask.shape[0], mask.shape[1], mask.shape[2]))
    kind = rng.random()
    wave = np.float32(rng.uniform(0.1, 0.5)) * smooth_noise(rng, mask.shape, 0.4 * max(mask.shape))
    centre = rng.uniform(-0.35, 0.35, 3).astype(np.float32).reshape(3, 1, 1, 1)
    if kind < 0.4:
        # A core that may reach the surface, as the transition zone of a prostate or the nucleus of a disc.
        radii = rng.uniform(0.35, 0.8, 3).astype(np.float32).reshape(3, 1, 1, 1)
        canvas.add((((places - centre) / radii) ** 2).sum(axis=0) + wave < 1, corner, parent=whole, within=mask)
    elif kind < 0.6:
        normal = rng.normal(size=3)
        side = np.tensordot((normal / np.linalg.norm(normal)).astype(np.float32), places - centre, axes=1)
        canvas.add(side + wave > 0, corner, parent=whole, within=mask)
    else:
        noise = smooth_noise(rng, mask.shape, log_uniform(rng, 0.08, 0.3) * max(mask.shape))
        for low, high in ((rng.uniform(0.5, 1.3), np.inf), (-np.inf, -rng.uniform(0.6, 1.6))):
            if rng.random() < 0.7:
                canvas.add((noise > low) & (noise < high), corner, parent=whole, within=mask)


def simulate_uneven_scan(rng: Rng, scene: Scene) -> SyntheticScan:
    """Simulate a scan of a scene with strong contrast inside bodies, unsharp edges, and often speckle and shadows."""
    scan = simulate_scan(rng, scene, unevenness=log_uniform(rng, 1.5, 5.0))
    image = scan.image
    if rng.random() < 0.6:
        # Depth of field: sharp in places only.
        blurred = ndimage.gaussian_filter(image, log_uniform(rng, 1.0, 3.0), truncate=2.5)
        weight = np.clip(0.6 + 0.7 * smooth_noise(rng, image.shape, 0.3 * max(image.shape)), 0, 1)
        image = image + weight * (blurred - image)
    if rng.random() < 0.4:
        image = _add_speckle(rng, image)
    return replace(scan, image=np.asarray(image, np.float32))


def _add_speckle(rng: Rng, image: Float) -> Float:
    """Add what ultrasound has: speckle elongated across the beam, loss with depth, and shadows along the beam."""
    axis = int(rng.integers(3))
    grain = np.abs(rng.standard_normal(image.shape, dtype=np.float32) + 0.5)
    sigma = np.full(3, rng.uniform(0.7, 1.8))
    sigma[axis] *= 0.5
    grain = ndimage.gaussian_filter(grain, sigma, truncate=2.5)
    grain = (grain - grain.mean()) / max(float(grain.std()), 1e-6)
    low = float(np.percentile(image, 1))
    image = low + (image - low) * (1 + np.float32(rng.uniform(0.1, 0.5)) * grain)
    depth = np.linspace(0, 1, image.shape[axis], dtype=np.float32)
    depth = depth.reshape([-1 if other == axis else 1 for other in range(3)])
    flat = tuple(1 if other == axis else n for other, n in enumerate(image.shape))
    shadow = np.clip(smooth_noise(rng, (flat[0], flat[1], flat[2]), 0.15 * max(image.shape)) - 0.8, 0, 1)
    result: Float = low + (image - low) * np.exp(-np.float32(rng.uniform(0, 0.8)) * depth - 2 * shadow * depth)
    return result
