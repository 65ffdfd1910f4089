"""``/v1/mask2polygon`` and ``/v1/fixpolygon``: polygons of a mask, and the mask of polygons."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
from fastapi import Response

from gateway.core.access import Activity
from gateway.http.aiaa.inference import image_of_form
from gateway.http.calls import Call
from gateway.http.forms import FormFile, parse_object, read_form
from gateway.http.image_files import PICTURE_SUFFIXES, ImageFiles
from gateway.http.polygons.png import png_size
from gateway.http.requests.spool import Spool, SpoolFolder
from gateway.http.windows.replies import FileReply, multipart_reply
from sixpoint.errors import InvalidArgument
from sixpoint.errors.shortening import quoted
from sixpoint.volume import VOXEL_TYPES

__all__ = ["PolygonCalls"]

# Polygons of several hundred slices; the gateway itself does not parse them.
_MAX_FIELD_BYTES = 2**20
_MAX_SKIPPED = 10_000
_DEFAULT_SKIPPED = 10


class PolygonCalls:
    """Carries out calls on polygons; nothing of them is stored.

    Args:
        files: Reads images that come as files.
        spool: Files of running calls.
    """

    def __init__(self, *, files: ImageFiles, spool: Spool) -> None:
        self._files = files
        self._spool = spool

    async def trace(self, call: Call) -> Response:
        """``POST /v1/mask2polygon``: for each slice of a mask the polygons round its objects and holes."""
        folder, file, text = await self._read(call)
        params = parse_object(text, what="the field params") if len(text) < _MAX_FIELD_BYTES // 16 else {}
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
            await self._files.run("gateway.http.polygons.trace_polygons", arguments, folder)
        folder.reserve(target.stat().st_size)
        return FileReply(target, media_type="application/json")

    async def fix(self, call: Call) -> Response:
        """``POST /v1/fixpolygon``: move a vertex, and fill the polygons."""
        folder, file, text = await self._read(call)
        source, target = folder.path / "parameters", folder.path / "polygons"
        async with call.while_connected():
            if file.suffix in PICTURE_SUFFIXES:
                grid, suffix = {"size": png_size(file.path)}, ".png"
            else:
                header, _ = await self._files.read(file, folder)
                geometry, suffix = header.geometry, ".nii.gz"
                grid = {name: getattr(geometry, name) for name in ("size", "spacing", "origin", "direction")}
            mask = folder.path / f"mask{suffix}"
            folder.reserve(int(np.prod(grid["size"])) + 2 * _MAX_FIELD_BYTES)
            await asyncio.to_thread(source.write_text, text)
            arguments = [str(source), json.dumps(grid), str(target), str(mask)]
            await self._files.run("gateway.http.polygons.fix_polygons", arguments, folder)
            poly = await asyncio.to_thread(Path.read_bytes, target)
        return multipart_reply(poly, mask, suffix=suffix)

    async def _read(self, call: Call) -> tuple[SpoolFolder, FormFile, str]:
        call.limits.check(call.principal, Activity.UPLOAD)
        folder = await call.stack.enter_async_context(self._spool.folder())
        form = await read_form(call, folder, max_bytes=self._files.max_body_bytes, max_field_bytes=_MAX_FIELD_BYTES)
        return folder, image_of_form(form), form.fields.get("params", "")
