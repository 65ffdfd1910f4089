"""Geometries as the database keeps them: JSON with the names of sixpoint.v1.Geometry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sixpoint.geometry import Geometry

__all__ = ["geometry_from_json", "geometry_to_json"]

_NAMES = ("size", "spacing", "origin", "direction")


def geometry_to_json(geometry: Geometry) -> dict[str, Sequence[float]]:
    """A geometry as JSON."""
    return {name: getattr(geometry, name) for name in _NAMES}


def geometry_from_json(stored: dict[str, list[Any]]) -> Geometry:
    """The geometry of such JSON."""
    fields: dict[str, Any] = {name: tuple(values) for name, values in stored.items()}
    return Geometry(**fields)
