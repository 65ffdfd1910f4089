"""Picture of training samples: what the network sees."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from sixpoint._typing import Rng
from sixpoint.model_spec import ModelSpec
from trainer.data.crop_pool import SCENE_EDGE, generate_crops
from trainer.data.dataloader import with_float32_input
from trainer.data.samples import OF_EVERY_KIND, TrainingSample, draw_sample

__all__ = ["draw_contact_sheet"]

_ZOOM = 2


def draw_contact_sheet(
    spec: ModelSpec, rng: Rng, *, seed: int, rows: int, columns: int, edge: int = SCENE_EDGE
) -> Image.Image:
    """Draw a row of samples for each scene.

    Args:
        spec: ROI and channels.
        rng: Generator that draws the samples.
        seed: Seed of the scenes.
        rows: Number of scenes.
        columns: Number of samples per scene.
        edge: Edge of a scene, in voxels.
    """
    spec = with_float32_input(spec)
    size = spec.roi.size[0]
    picture = np.zeros((rows * size * _ZOOM, columns * size * _ZOOM, 3), np.uint8)
    for row in range(rows):
        crops = generate_crops(seed, row, edge=edge)
        for column, choice in enumerate(rng.permutation(len(crops))[:columns]):
            tile = _draw_tile(draw_sample(rng, crops[choice], spec, edge=size, augmentation=OF_EVERY_KIND))
            y, x = row * size * _ZOOM, column * size * _ZOOM
            picture[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    return Image.fromarray(picture)


def _draw_tile(sample: TrainingSample) -> npt.NDArray[np.uint8]:
    """Draw the middle slice of a sample's first channel, [y, x, rgb]: outline in green, extreme points in red."""
    middle = sample.target.shape[0] // 2
    grey = np.clip((sample.channels[0, middle].astype(np.float32) + 1) * 127.5, 0, 255).astype(np.uint8)
    tile = np.repeat(np.stack([grey] * 3, axis=-1), _ZOOM, axis=0).repeat(_ZOOM, axis=1)
    inside = np.repeat(sample.target[middle] > 0.5, _ZOOM, axis=0).repeat(_ZOOM, axis=1)
    tile[inside & ~ndimage.binary_erosion(inside)] = (0, 255, 0)
    for x, y in (sample.guidance.extremes[:, :2] + 1) / 2 * tile.shape[0]:
        tile[max(int(y) - 1, 0) : int(y) + 2, max(int(x) - 1, 0) : int(x) + 2] = (255, 0, 0)
    tile[:, -1] = tile[-1] = (60, 60, 60)
    return tile
