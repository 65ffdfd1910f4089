"""Voxels in the memory of ITK's images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sixpoint._typing import Array

if TYPE_CHECKING:
    import SimpleITK as sitk

__all__ = ["own_voxels"]


class _ImageMemory:
    """The memory of an image, which NumPy keeps as long as an array of it is used."""

    def __init__(self, image: sitk.Image) -> None:
        import SimpleITK as sitk

        self._image = image
        interface = dict(sitk.GetArrayViewFromImage(image).__array_interface__)
        self.__array_interface__ = interface | {"data": (interface["data"][0], False)}


def own_voxels(image: sitk.Image) -> Array:
    """Return the voxels [z, y, x] of an image that nobody else has: they are not copied."""
    return np.asarray(_ImageMemory(image))
