"""Intensities of a scene: tissue, texture, and the effects of a scanner."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from sixpoint._typing import Float, Rng, Shape
from trainer.synthesis.label_synthesis import AIR, Scene
from trainer.synthesis.random_fields import log_uniform, resample, smooth_noise

__all__ = ["SyntheticScan", "simulate_scan"]


@dataclass(frozen=True)
class SyntheticScan:
    """A simulated scan of a scene.

    Attributes:
        image: Intensities [z, y, x], float32, about -2 to 4, arbitrary units.
        labels: Labels of the scene on the scan's grid, [z, y, x].
    """

    image: Float
    labels: npt.NDArray[np.uint8]


def simulate_scan(rng: Rng, scene: Scene, *, unevenness: float = 1.0) -> SyntheticScan:
    """Simulate a scan of a scene: draw intensities for its labels, then blur, resample, crop and add artefacts.

    Args:
        rng: Source of randomness.
        scene: Scene to scan.
        unevenness: Factor of the contrast between bodies and their parts, and of half of the bodies' texture.
    """
    means, texture = _draw_tissues(rng, scene)
    if unevenness != 1.0:
        part = scene.parent != np.arange(scene.count)
        whole = means[scene.parent]
        means = np.where(part, whole + np.float32(unevenness) * (means - whole), means)
        texture = np.where(rng.random(scene.count) < 0.5, np.float32(unevenness) * texture, texture)
    image = means[scene.labels]
    image += _draw_texture(rng, scene, texture)
    if rng.random() < 0.7:
        image = ndimage.gaussian_filter(image, rng.uniform(0.3, 1.2), truncate=2.5)
    image, labels = _resample_to_scan(rng, image, scene.labels)
    return SyntheticScan(image=_add_artefacts(rng, image), labels=labels)


def _draw_tissues(rng: Rng, scene: Scene) -> tuple[Float, Float]:
    """Draw mean intensity and texture strength of every label.

    Intensities form few clusters with little spread: neighbours often hardly differ, as organs without fat between
    them in CT.
    """
    clusters = rng.uniform(0, 1, int(rng.integers(3, 8)))
    if rng.random() < 0.4:
        # CT: soft tissues lie in a narrow range between fat and bone.
        clusters = np.concatenate([rng.normal(0.5, 0.07, len(clusters)), rng.uniform(0.25, 0.4, 1)])
    spread = log_uniform(rng, 0.01, 0.09)
    count = scene.count
    means = rng.choice(clusters, count) + rng.normal(0, spread, count)
    # The background consists of one or few tissues: fat, muscle.
    base = rng.choice(clusters, 2) if rng.random() < 0.6 else clusters
    means[1 : scene.background + 1] = rng.choice(base, scene.background) + rng.normal(0, spread, scene.background)
    odd = rng.random(count)
    means[odd < 0.05] = rng.uniform(-1.0, -0.2)
    means[odd > 0.94] = rng.uniform(1.0, 2.5)
    shared = scene.twin != np.arange(count)
    means[shared] = means[scene.twin[shared]] + rng.normal(0, 0.05, int(shared.sum()))
    # A part differs from its body by little or much, unless it is a twin.
    part = (scene.parent != np.arange(count)) & ~shared
    means[part] = means[scene.parent[part]] + rng.normal(0, 1, int(part.sum())) * log_uniform(rng, 0.03, 0.3)
    means[AIR] = rng.choice([means.min() - rng.uniform(0, 1), 0.0, -1.0])
    texture = np.exp(rng.normal(np.log(log_uniform(rng, 0.005, 0.09)), 0.7, count))
    texture[AIR] = 0
    return means.astype(np.float32), texture.astype(np.float32)


def _draw_texture(rng: Rng, scene: Scene, texture: Float) -> Float:
    """Draw the variation inside labels: texture at several scales, vessels, nodules, slow gradients; [z, y, x]."""
    shape: Shape = scene.labels.shape
    count = scene.count
    result = np.zeros(shape, np.float32)
    for scale in (log_uniform(rng, 1.2, 3), log_uniform(rng, 4, 10), log_uniform(rng, 12, 40)):
        strength = texture * np.exp(rng.normal(0, 0.5, count)).astype(np.float32) * (rng.random(count) < 0.7)
        result += strength.astype(np.float32)[scene.labels] * smooth_noise(rng, shape, scale)
    if rng.random() < 0.5:
        # Vessels: where two smooth fields are both near zero.
        scale = log_uniform(rng, 6, 16)
        near = np.hypot(smooth_noise(rng, shape, scale), smooth_noise(rng, shape, scale)) < rng.uniform(0.1, 0.25)
        contrast = np.where(rng.random(count) < 0.4, rng.normal(0, 0.2, count), 0).astype(np.float32)
        contrast[AIR] = 0
        result += np.where(near, contrast[scene.labels], np.float32(0))
    if rng.random() < 0.5:
        nodules = smooth_noise(rng, shape, log_uniform(rng, 3, 9)) > rng.uniform(1.3, 2.2)
        contrast = np.where(rng.random(count) < 0.35, rng.normal(0, 0.2, count), 0).astype(np.float32)
        contrast[AIR] = 0
        result += np.where(nodules, contrast[scene.labels], np.float32(0))
    return result


def _resample_to_scan(rng: Rng, image: Float, labels: npt.NDArray[np.uint8]) -> tuple[Float, npt.NDArray[np.uint8]]:
    """Resample to a scanner's grid: coarser voxels, thick slices along one axis, and only a slab of the scene."""
    factors = np.full(3, rng.uniform(1.0, 2.0) if rng.random() < 0.35 else 1.0)
    thick = 0 if rng.random() < 0.7 else int(rng.integers(1, 3))
    if rng.random() < 0.4:
        factors[thick] *= log_uniform(rng, 1.5, 8)
    sides = [max(14, round(n / f)) for n, f in zip(image.shape, factors, strict=True)]
    shape: Shape = (sides[0], sides[1], sides[2])
    if shape != image.shape:
        if rng.random() < 0.4:
            # Slices with gaps: each is the mean over half of the distance between slices.
            half = [min(full, 2 * n) for n, full in zip(shape, image.shape, strict=True)]
            image = resample(image, (half[0], half[1], half[2]))
            steps = tuple(slice(None, None, max(1, h // n)) for h, n in zip(half, shape, strict=True))
            image = image[steps][: shape[0], : shape[1], : shape[2]]
            shape = (image.shape[0], image.shape[1], image.shape[2])
        else:
            image = resample(image, shape)
        picks = [((np.arange(n) + 0.5) * full / n).astype(int) for n, full in zip(shape, labels.shape, strict=True)]
        labels = labels[np.ix_(*picks)]
    window = []
    for axis, n in enumerate(shape):
        length = n
        if rng.random() < (0.5 if axis == thick else 0.15):
            length = max(8, int(n * rng.uniform(0.3, 0.95)))
        first = int(rng.integers(0, max(n - length, 0) + 1))
        window.append(slice(first, first + length))
    box = tuple(window)
    return np.ascontiguousarray(image[box]), np.ascontiguousarray(labels[box])


def _add_artefacts(rng: Rng, image: Float) -> Float:
    """Add bias field, streaks and noise of several kinds, and change the contrast."""
    shape: Shape = (image.shape[0], image.shape[1], image.shape[2])
    if rng.random() < 0.4:
        image = image * np.exp(np.float32(rng.uniform(0.05, 0.3)) * smooth_noise(rng, shape, 0.6 * max(shape)))
    if rng.random() < 0.15:
        image = image + _streaks(rng, shape)
    noise = log_uniform(rng, 0.004, 0.12)
    grain = rng.standard_normal(shape, dtype=np.float32)
    kind = rng.random()
    if kind < 0.45:
        grain = ndimage.gaussian_filter(grain, rng.uniform(0.4, 1.2), truncate=2.5)
        grain /= max(float(grain.std()), 1e-6)
    if kind > 0.9:
        # Speckle: noise proportional to the signal.
        grain *= 0.5 + np.abs(image)
        noise *= 1.5
    image = image + np.float32(noise) * grain
    if rng.random() < 0.15:
        image = np.abs(image - image.min() * rng.uniform(0, 1))
    if rng.random() < 0.12:
        image = ndimage.gaussian_filter(image, rng.uniform(0.6, 1.3), truncate=2.5)
    return np.asarray(image, np.float32)


def _streaks(rng: Rng, shape: Shape) -> Float:
    """Draw streaks from one point, as of metal, over several slices; [z, y, x]."""
    z, y, x = shape
    centre = rng.uniform(0.1, 0.9, 2) * (y, x)
    angle = np.arctan2(np.arange(y)[:, None] - centre[0], np.arange(x)[None, :] - centre[1])
    rays = rng.normal(size=90)
    plane = np.interp((angle + np.pi) / (2 * np.pi) * 89, np.arange(90), rays) * rng.uniform(0.03, 0.15)
    weight = np.exp(-0.5 * ((np.arange(z) - rng.uniform(0, z)) / rng.uniform(2, 0.5 * z + 3)) ** 2)
    result: Float = (weight[:, None, None] * plane[None]).astype(np.float32)
    return result
