"""Geometries to try, and one image stored in all the ways that axes can be ordered and reversed."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import strategies as st

from sixpoint._typing import Array
from sixpoint.geometry import Geometry

Axes = tuple[int, ...]
Flips = tuple[bool, ...]

AXIS_ORDERS: list[tuple[Axes, Flips]] = list(
    itertools.product(itertools.permutations(range(3)), itertools.product((False, True), repeat=3))
)
"""All 48: for each new index axis, which old one it is, and whether it is reversed."""


def rotation(w: float, x: float, y: float, z: float) -> Array:
    """The rotation of a quaternion, of any length but 0."""
    w, x, y, z = np.array([w, x, y, z]) / np.linalg.norm([w, x, y, z])
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


@st.composite
def geometries(draw: st.DrawFn, *, largest: int = 40) -> Geometry:
    """Any orientation, oblique ones and mirrored ones too."""
    part = st.floats(-1, 1)
    quaternion = draw(st.tuples(part, part, part, part).filter(lambda q: np.linalg.norm(q) > 0.1))
    axes = rotation(*quaternion)[:, list(draw(st.permutations(range(3))))]
    axes = axes * draw(st.tuples(*[st.sampled_from((-1.0, 1.0))] * 3))
    return Geometry(
        size=draw(st.tuples(*[st.integers(1, largest)] * 3)),
        spacing=draw(st.tuples(*[st.floats(0.1, 10)] * 3)),
        origin=draw(st.tuples(*[st.floats(-1000, 1000)] * 3)),
        direction=tuple(axes.reshape(-1).tolist()),
    )


def reordered(array: Array, geometry: Geometry, axes: Axes, flips: Flips) -> tuple[Array, Geometry]:
    """The same voxels at the same places in the patient, stored another way."""
    stored = array.transpose(2, 1, 0).transpose(axes)
    stored = np.flip(stored, tuple(axis for axis in range(3) if flips[axis])).transpose(2, 1, 0)
    first = [0, 0, 0]
    for new, old in enumerate(axes):
        first[old] = geometry.size[old] - 1 if flips[new] else 0
    columns = np.array(geometry.direction).reshape(3, 3)[:, list(axes)] * np.where(flips, -1.0, 1.0)
    return np.ascontiguousarray(stored), Geometry(
        size=tuple(geometry.size[axis] for axis in axes),  # type: ignore[arg-type]
        spacing=tuple(geometry.spacing[axis] for axis in axes),  # type: ignore[arg-type]
        origin=tuple(geometry.index_to_point(first)[0]),
        direction=tuple(columns.reshape(-1)),
    )
