"""``/v1/mask2polygon`` and ``/v1/fixpolygon``: polygons of a mask, and the mask of polygons."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from fastapi import Response

from gateway.core.access import Activity
from gateway.http.aiaa.filling import check_edges, fill, inside_slice
from gateway.http.aiaa.inference import image_of_form
from gateway.http.aiaa.png import png_of_mask, png_size
from gateway.http.aiaa.polygons import Pull, Slices, pull_vertex, read_polygons, read_pull
from gateway.http.calls import Call
from gateway.http.forms import FormFile, parse_object, read_form
from gateway.http.image_files import ImageFiles
from gateway.http.requests.spool import Spool, SpoolFolder
from gateway.http.windows.label_files import FileFormat
from gateway.http.windows.replies import FileReply, result_reply
from gateway.http.windows.results import Result, Results
from sixpoint.errors import InvalidArgument
from sixpoint.errors.shortening import quoted
from sixpoint.geometry import Geometry
from sixpoint.mask import PackedMask, Timings, pack
from sixpoint.volume import VOXEL_TYPES

__all__ = ["PolygonCalls"]

_MAX_SKIPPED = 10_000
_DEFAULT_SKIPPED = 10


class PolygonCalls:
    """Carries out calls on polygons; nothing of them is stored.

    Args:
        files: Reads images that come as files.
        results: Writes masks.
        spool: Files of running calls.
    """

    def __init__(self, *, files: ImageFiles, results: Results, spool: Spool) -> None:
        self._files = files
        self._results = results
        self._spool = spool

    async def trace(self, call: Call) -> Response:
        """``POST /v1/mask2polygon``: for each slice of a mask the polygons round its objects and holes."""
        folder, file, params = await self._read(call)
        skipped = params.get("more_points", _DEFAULT_SKIPPED)
        if not isinstance(skipped, int) or isinstance(skipped, bool) or not 0 <= skipped <= _MAX_SKIPPED:
            raise InvalidArgument(
                f"params.more_points is {quoted(str(skipped))}; expected a whole number from 0 (all pixels of each "
                f"outline) to {_MAX_SKIPPED}"
            )
        async with call.while_connected():
            header, voxels = await self._files.read(file, folder)
            dtype, target = np.dtype(VOXEL_TYPES[header.voxel_type]).str, folder.path / "polygons"
            size = map(str, header.geometry.size)
            arguments = [str(voxels), dtype, *size, str(skipped), str(target)]
            await self._files.run("gateway.http.aiaa.trace_polygons", arguments, folder)
        folder.reserve(target.stat().st_size)
        return FileReply(target, media_type="application/json")

    async def fix(self, call: Call) -> Response:
        """``POST /v1/fixpolygon``: move a vertex, and fill the polygons."""
        folder, file, params = await self._read(call)
        params = _modern(params)
        flat = file.suffix == ".png"
        if params.get("dimension", 2 if flat else 3) != (2 if flat else 3):
            raise InvalidArgument("params.dimension does not fit the image: 2 goes with a PNG file, 3 with a volume")
        async with call.while_connected():
            slices = await asyncio.to_thread(read_polygons, params.get("poly"), three=not flat)
            pull = read_pull(params, slices, three=not flat)
            if flat:
                poly = await self._fix_slice(file, slices, pull, folder)
                return result_reply({"poly": poly[0]}, folder.path / "answer", suffix=".png", output="")
            return await self._fix_volume(file, slices, pull, folder)

    async def _fix_slice(self, file: FormFile, slices: Slices, pull: Pull, folder: SpoolFolder) -> Slices:
        x, y = png_size(file.path)
        folder.reserve(x * y)
        async with self._results.room(8 * x * y):
            return await asyncio.to_thread(_write_slice, folder.path / "answer", slices, pull, (x, y))

    async def _fix_volume(self, file: FormFile, slices: Slices, pull: Pull, folder: SpoolFolder) -> Response:
        header, _ = await self._files.read(file, folder)
        geometry = header.geometry
        if len(slices) != geometry.size[2]:
            raise InvalidArgument(f"params.poly has {len(slices)} slices, and the image {geometry.size[2]}")
        x, y, z = geometry.size
        async with self._results.room(2 * x * y * z + 8 * x * y):
            poly, mask = await asyncio.to_thread(_fill_volume, slices, pull, geometry)
        result = Result([(1, mask)], {}, Timings())
        path = await self._results.write(result, geometry, folder, FileFormat(".nii.gz"))
        return result_reply({"poly": poly}, path, suffix=".nii.gz", output="")

    async def _read(self, call: Call) -> tuple[SpoolFolder, FormFile, dict[str, object]]:
        call.limits.check(call.principal, Activity.UPLOAD)
        folder = await call.stack.enter_async_context(self._spool.folder())
        form = await read_form(call, folder, max_bytes=self._files.max_body_bytes)
        return folder, image_of_form(form), parse_object(form.fields.get("params", ""), what="the field params")


def _modern(params: Mapping[str, object]) -> dict[str, object]:
    """Parameters as clients since 2020 send them; those before sent the polygons before and after the change."""
    if "prev_poly" not in params:
        return dict(params)
    polygon, vertex = params.get("polygonIndex"), params.get("vertexIndex")
    try:
        before, after = (params[name][polygon][vertex] for name in ("prev_poly", "poly"))  # type: ignore[index]
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


def _write_slice(path: Path, slices: Slices, pull: Pull, shape: tuple[int, int]) -> Slices:
    """Move the vertex on a slice, and write the mask; coordinates are (x, y) there."""
    moved = _moved(slices, pull, shape)
    path.write_bytes(png_of_mask(fill(moved[0], shape=shape).T))
    return moved


def _fill_volume(slices: Slices, pull: Pull, geometry: Geometry) -> tuple[Slices, PackedMask]:
    """Move the vertex in a volume, and fill the polygons; coordinates are (y, x) there."""
    x, y, _ = geometry.size
    moved = _moved(slices, pull, (y, x))
    mask = np.zeros(geometry.shape, np.bool_)
    for number, polygons in enumerate(moved):
        if polygons:
            mask[number] = fill(polygons, shape=(y, x))
    return moved, pack(mask, (0, 0, 0))


def _moved(slices: Slices, pull: Pull, shape: tuple[int, int]) -> Slices:
    inside = [inside_slice(polygons, shape=shape) for polygons in slices]
    moved = pull_vertex(inside, pull, shape=shape)
    check_edges(moved)
    return moved
