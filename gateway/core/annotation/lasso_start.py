"""Objects that a lasso starts: how far they reach."""

from __future__ import annotations

import numpy as np

from gateway.core.annotation.object_extent import ObjectExtent
from sixpoint._typing import Ints
from sixpoint.geometry import Geometry
from sixpoint.preprocessing import estimate_object_box, outline_extremes
from sixpoint.prompts import Lasso

__all__ = ["extent_of_lasso", "with_extent"]


def with_extent(lasso: Lasso, voxels: Ints, *, geometry: Geometry) -> Lasso:
    """Return a lasso that says how far the object reaches: as it says already, or as it is estimated.

    Args:
        lasso: Lasso that starts an object.
        voxels: Canonical voxels (x, y, z) inside it, shape [n, 3].
        geometry: Geometry of the image as uploaded.
    """
    if lasso.extent is not None:
        return lasso
    canonical, orientation = geometry.canonical(), geometry.orientation
    # The axis that the lasso names is one of the image as uploaded.
    axis = None if lasso.axis is None else orientation.axes.index(lasso.axis)
    lower, upper = estimate_object_box(voxels, spacing=canonical.spacing, image_size=canonical.size, axis=axis)
    return lasso.with_extent(orientation.box_from_canonical(lower, upper, size=geometry.size))


def extent_of_lasso(lasso: Lasso, voxels: Ints, *, geometry: Geometry) -> ObjectExtent:
    """Return the extent of the object that a lasso of known extent starts.

    Args:
        lasso: Result of :func:`with_extent`.
        voxels: Canonical voxels (x, y, z) inside it, shape [n, 3].
        geometry: Geometry of the image as uploaded.

    Raises:
        PromptError: The extent is empty, or exceeds the image.
    """
    assert lasso.extent is not None
    lasso.check_extent(geometry)
    lower, upper = lasso.extent
    corners = [lower, tuple(n - 1 for n in upper)]
    placed = geometry.orientation.index_to_canonical(corners, size=geometry.size)
    box = np.stack([placed.min(axis=0), placed.max(axis=0)])
    return ObjectExtent(box, outline_extremes(voxels, box), estimated=True)
