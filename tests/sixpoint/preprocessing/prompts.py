"""Prompts, images and windows that several tests use."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from sixpoint._typing import Array
from sixpoint.model_spec import (
    Intensity,
)
from sixpoint.preprocessing import (
    PromptGuidance,
    estimate_percentiles,
    fit_window,
)

# An object's extremes in the ROI's frame: left, right, front, back, low, high.
SIX = np.array(
    [(-0.6, 0.1, 0.0), (0.7, 0.0, -0.1), (0.1, -0.5, 0.2), (0.0, 0.6, 0.1), (0.2, 0.1, -0.65), (-0.1, 0.0, 0.55)]
)
SHAPE = (10, 12, 14)
WHOLE = np.array([[-1.0] * 3, [1.0] * 3])
METHODS = ("percentile", "ellipsoid", "points", "range")


def guide(points: Array = SIX, **others: Any) -> PromptGuidance:
    """Extreme points, in an image that is as large as the ROI."""
    return PromptGuidance(
        **(
            {"box": np.stack([points.min(axis=0), points.max(axis=0)]), "extremes": points, "image_bounds": WHOLE}
            | others
        )
    )


def apply_window(image: Array, guidance: PromptGuidance, intensity: Intensity) -> Array:
    """Voxels [z, y, x] under the window that fits the image and its prompts."""
    percentiles = partial(estimate_percentiles, image)
    window = fit_window(image, intensity, extremes=guidance.extremes, box=guidance.box, percentiles=percentiles)
    result = np.empty(image.shape, np.float32)
    window.apply(np.ascontiguousarray(image), result)
    return result


def cells(shape: tuple[int, int, int]) -> Array:
    """The ROI's frame at every cell's centre, [z, y, x, (x, y, z)]: 1 is the face, half a cell beyond the last."""
    z, y, x = np.meshgrid(*[-1 + (np.arange(n) + 0.5) * 2 / n for n in shape], indexing="ij")
    return np.stack([x, y, z], axis=-1)


def image(shape: tuple[int, int, int] = (16, 16, 16)) -> Array:
    return np.random.default_rng(0).normal(100, 30, shape).astype(np.float32)
