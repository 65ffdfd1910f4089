"""The answer to a prompt: the box in which the client's mask changes, and what is in it then."""

from __future__ import annotations

import json
import math

import numpy as np
from fastapi import Response

from gateway.http.decoding.packed import pack_array
from sixpoint._typing import Bools, Index
from sixpoint.mask import PackedMask, voxels_of
from sixpoint.masks.difference import difference_box

__all__ = ["change_memory", "changed_reply", "unchanged_reply"]

_OCTETS = "application/octet-stream"


def change_memory(before: PackedMask | None, after: PackedMask, dtype: np.dtype[np.generic]) -> int:
    """Bytes that comparing two masks needs: both, as bits and as voxels, and the box that is sent, twice."""
    boxes = [mask for mask in (before, after) if mask is not None and mask.voxel_count]
    if not boxes:
        return 0
    hull = math.prod(
        max(mask.upper[axis] for mask in boxes) - min(mask.lower[axis] for mask in boxes) for axis in range(3)
    )
    return 2 * sum(_voxels(mask) for mask in boxes) + 3 * dtype.itemsize * hull


def changed_reply(before: PackedMask | None, after: PackedMask, dtype: np.dtype[np.generic]) -> Response:
    """Return the answer to a prompt that was carried out. It takes long, and thus belongs on a thread.

    Args:
        before: Mask that the client has; None for an empty one.
        after: Mask that it is to have.
        dtype: Type of its voxels.
    """
    new, old = _unpacked(after), _unpacked(before)
    box = difference_box(new[0], old[0], origins=(new[1], old[1]))
    if box is None:
        return unchanged_reply(ran=True)
    begin, end = box
    content = np.zeros([b - a for a, b in zip(begin, end, strict=True)], dtype)
    voxels, place = new
    target = tuple(
        slice(max(at, a) - a, max(max(at, a), min(at + n, b)) - a)
        for at, n, a, b in zip(place, voxels.shape, begin, end, strict=True)
    )
    source = tuple(
        slice(part.start + a - at, part.stop + a - at) for part, a, at in zip(target, begin, place, strict=True)
    )
    content[target] = voxels[source]
    meta = {
        "ran_prediction": True,
        "bbox": [[a, b] for a, b in zip(begin, end, strict=True)],
        "dtype": dtype.name,
        "shape": list(content.shape),
    }
    return Response(pack_array(content), media_type=_OCTETS, headers={"X-Meta": _json(meta)})


def unchanged_reply(*, ran: bool) -> Response:
    """Return the answer to a call after which the client's mask stays as it is.

    Args:
        ran: Whether something was carried out.
    """
    return Response(b"", media_type=_OCTETS, headers={"X-Meta": _json({"ran_prediction": ran, "bbox": None})})


def _unpacked(mask: PackedMask | None) -> tuple[Bools, Index]:
    """Voxels [z, y, x] of a mask's box, and the index (z, y, x) of the first one."""
    if mask is None or not mask.voxel_count:
        return np.zeros((1, 1, 1), np.bool_), (0, 0, 0)
    x, y, z = mask.lower
    return voxels_of(mask), (z, y, x)


def _voxels(mask: PackedMask) -> int:
    return math.prod(b - a for a, b in zip(mask.lower, mask.upper, strict=True))


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
