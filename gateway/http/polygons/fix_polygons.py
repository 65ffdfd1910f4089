"""The program that pulls at a vertex and fills polygons: ``fix_polygons PARAMETERS GRID POLYGONS MASK``.

In a process of its own, since parsing many polygons would keep the gateway from its other work. GRID is JSON: the
``size`` (x, y) of a slice, or the geometry of a volume. It writes the new polygons as JSON, and the mask as PNG or
NIfTI; it prints a line of JSON: what is wrong with the parameters, or nothing.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gateway.http.polygons.editing import Slices, pull_vertex, read_polygons, read_pull
from gateway.http.polygons.filling import check_edges, fill, inside_slice
from gateway.http.polygons.png import png_of_mask
from sixpoint.errors import InvalidArgument, SixpointError
from sixpoint.geometry import Geometry
from sixpoint.volume import Volume

__all__ = ["main"]

_MEMORY_BYTES = 2**31


def main(params: Mapping[str, Any], grid: Mapping[str, Any], mask: Path) -> Slices:
    """Move the vertex, and write the mask; returns the new polygons.

    Args:
        params: Parameters of the call.
        grid: Size of the slice, or geometry of the volume.
        mask: File of the mask.

    Raises:
        InvalidArgument: The parameters do not fit together, or not the image.
    """
    three = len(grid["size"]) == 3
    params = _modern(params)
    if params.get("dimension", 3 if three else 2) != (3 if three else 2):
        raise InvalidArgument("params.dimension does not fit the image: 2 goes with a PNG file, 3 with a volume")
    slices = read_polygons(params.get("poly"), three=three)
    pull = read_pull(params, slices, three=three)
    # Coordinates are (x, y) on a slice, and (y, x) in a volume.
    shape = (grid["size"][1], grid["size"][0]) if three else (grid["size"][0], grid["size"][1])
    moved = pull_vertex([inside_slice(polygons, shape=shape) for polygons in slices], pull, shape=shape)
    check_edges(moved)
    if not three:
        mask.write_bytes(png_of_mask(fill(moved[0], shape=shape).T))
        return moved
    geometry = Geometry(
        size=tuple(grid["size"]),
        spacing=tuple(grid["spacing"]),
        origin=tuple(grid["origin"]),
        direction=tuple(grid["direction"]),
    )
    if len(moved) != geometry.size[2]:
        raise InvalidArgument(f"params.poly has {len(moved)} slices, and the image {geometry.size[2]}")
    voxels = np.zeros(geometry.shape, np.uint8)
    for number, polygons in enumerate(moved):
        if polygons:
            voxels[number] = fill(polygons, shape=shape)
    Volume(voxels, geometry).write(mask)
    return moved


def _modern(params: Mapping[str, Any]) -> Mapping[str, Any]:
    """Parameters as clients since 2020 send them; those before sent the polygons before and after the change."""
    if "prev_poly" not in params:
        return params
    polygon, vertex = params.get("polygonIndex"), params.get("vertexIndex")
    try:
        before, after = (params[name][polygon][vertex] for name in ("prev_poly", "poly"))
        offset = [b - a for a, b in zip(before, after, strict=True)]
    except (TypeError, IndexError, KeyError, ValueError):
        raise InvalidArgument("params.poly and params.prev_poly have no vertex of these numbers") from None
    return {
        "poly": params["prev_poly"],
        "polygon_index": polygon,
        "vertex_index": vertex,
        "vertex_offset": offset,
        "propagate_neighbor": params.get("propagate_neighbor", 1),
    }


def _parse(text: str) -> Mapping[str, Any]:
    try:
        params = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError):
        params = None
    if not isinstance(params, Mapping):
        raise InvalidArgument("the field params is no JSON; expected an object in JSON")
    return params


def _run(source: str, grid_text: str, target: str, mask: str) -> dict[str, str]:
    grid = json.loads(grid_text)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES + 4 * int(np.prod(grid["size"])),) * 2)
    try:
        moved = main(_parse(Path(source).read_text()), grid, Path(mask))
    except SixpointError as error:
        return {"error": error.message, "kind": "InvalidArgument"}
    except MemoryError:
        return {"error": "the polygons take too much memory; send fewer", "kind": "InvalidArgument"}
    poly = moved if len(grid["size"]) == 3 else moved[0]
    Path(target).write_text(json.dumps({"poly": poly}, separators=(",", ":")))
    return {}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_run(*sys.argv[1:])))
