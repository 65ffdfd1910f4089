"""A mask on its image's own grid, and the packed form in which it travels: its box, as bits, compressed."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import zstandard

from sixpoint._typing import Bools, Counts, Index
from sixpoint.concurrency import PairRunner, run_serially
from sixpoint.errors import InternalError
from sixpoint.geometry import Geometry
from sixpoint.mask_files.dicom import DicomKind, dicom_target, label_objects, save_dicom
from sixpoint.mask_files.labels import write_labels
from sixpoint.masks.difference import difference_box
from sixpoint.timings import Timings

__all__ = [
    "Mask",
    "PackedMask",
    "Timings",
    "check_box",
    "cropped",
    "model_text",
    "pack",
    "pack_change",
    "unpack",
    "voxels_of",
]


# zstd level 1: on masks, higher levels save a few percent and take several times as long.
_LEVEL = 1
# Voxels packed at a time.
_PIECE = 2**22
# Voxels of a large mask; for smaller ones, applying a change takes no time.
_LARGE = 2**18
# Bytes; fewer are compressed before a second thread has started.
_PAIR_BYTES = 2**16


@dataclass(frozen=True)
class PackedMask:
    """A mask in the form in which it travels.

    Attributes:
        lower: Index (x, y, z) of the box's first voxel, in the image's own axes.
        upper: Index (x, y, z) one past the box's last voxel.
        bits: zstd frame of the box's voxels, one bit each, most significant first, x fastest.
        sha256: SHA-256 of the bits before compression, 32 bytes.
        voxel_count: Number of voxels of the whole mask that are 1.
        base_revision: Revision of the mask that the box changes; 0: outside the box, the mask is 0.
    """

    lower: Index
    upper: Index
    bits: bytes = field(repr=False)
    sha256: bytes = field(repr=False)
    voxel_count: int
    base_revision: int = 0


@dataclass(frozen=True, eq=False, repr=False)
class Mask:
    """An answer: the voxels that belong to the object.

    Attributes:
        array: Voxels [z, y, x], uint8, 0 and 1, on the image's own grid.
        geometry: Geometry of the image.
        model: Name of the model that answered.
        model_version: Version of the model that answered.
        revision: Revision of the session with this answer.
        timings: Time that each phase took on the server.
        reply_bytes: Size of the compressed mask.
        names: Names of the labels in ``array`` by number, as far as they have some.
        image_digest: Digest of the image; empty if it is unknown.
    """

    array: Counts
    geometry: Geometry
    model: str = ""
    model_version: str = ""
    revision: int = 0
    timings: Timings = field(default_factory=Timings)
    reply_bytes: int = 0
    names: Mapping[int, str] = field(default_factory=dict)
    image_digest: str = ""

    @property
    def volume_ml(self) -> float:
        """Volume of the object in millilitres."""
        return self._voxel_count() * self.geometry.voxel_volume_ml

    def __repr__(self) -> str:
        parts = [f"{self.volume_ml:.1f} ml", self.geometry.size_text, model_text(self.model, self.model_version)]
        return f"Mask({', '.join(filter(None, parts))})"

    def _repr_html_(self) -> str:
        """The silhouette of the mask, for notebooks."""
        from sixpoint.preview import picture_html, render_silhouette

        return picture_html(render_silhouette(self.array, self.geometry), caption=repr(self))

    def _voxel_count(self) -> int:
        return int(np.count_nonzero(self.array))

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        names: bool = False,
        dicom: DicomKind | None = None,
        source: str | os.PathLike[str] | None = None,
        creator: str = "",
    ) -> None:
        """Write the mask to a NIfTI, NRRD, MetaImage or DICOM file, as the suffix says, on the image's own grid.

        Args:
            path: File to write. A ``.seg.nrrd`` file has the names and colours of its labels, for 3D Slicer. A
                ``.dcm`` file belongs to the DICOM image, has the names, and needs the image's files.
            names: Whether the names of the labels are written to a JSON file beside another file: ``mask.json`` beside
                ``mask.nii.gz``.
            dicom: Kind of a ``.dcm`` file: "seg", "labelmap" or "rtstruct"; None for "seg".
            source: Folder or file with the DICOM image; None for that which the image was read from.
            creator: Name of the person who made the mask, for a ``.dcm`` file; empty to say nobody.

        Raises:
            InvalidArgument: Names are asked for, and no label has one; the image's DICOM files are not known; or the
                mask is empty, and it is to be written as DICOM.
            VolumeError: The suffix is unknown, a file cannot be written, or the DICOM files are not the image's.
        """
        target = dicom_target(path, self.geometry, kind=dicom, source=source, creator=creator)
        if target:
            # The answer of a session has a revision; without one, nobody gave prompts.
            automatic = not self.revision
            objects = label_objects(
                self.array, self.names, model=self.model, model_version=self.model_version, automatic=automatic
            )
            save_dicom(objects, self.geometry, target, digest=self.image_digest)
            return
        write_labels(self.array, self.geometry, path, names=self.names, with_names=names)


def model_text(name: str, version: str) -> str:
    """Name and version of a model in one word or two, such as "annotation v5"; empty without a name."""
    return f"{name} v{version}" if name and version else name


def pack(mask: Bools, offset: Index, *, run_pair: PairRunner = run_serially) -> PackedMask:
    """Pack the smallest box of a mask outside which it is 0.

    Args:
        mask: Voxels [z, y, x] of a part of the image's grid.
        offset: Index (x, y, z) of the part's first voxel.
        run_pair: Runs compression and hashing.
    """
    piece, first = cropped(mask)
    return _packed(piece, (offset[0] + first[0], offset[1] + first[1], offset[2] + first[2]), run_pair=run_pair)


def pack_change(
    mask: Bools,
    offset: Index,
    *,
    before: tuple[Bools, Index],
    revision: int,
    run_pair: PairRunner = run_serially,
) -> PackedMask:
    """Pack the box in which a mask differs from the previous one.

    A large mask is packed whole if the box is more than half of it.

    Args:
        mask: Voxels [z, y, x] of a part of the image's grid; outside it the mask is 0.
        offset: Index (x, y, z) of the part's first voxel.
        before: The same part of the previous mask, and the index (x, y, z) of its first voxel.
        revision: Revision of the previous mask.
        run_pair: Runs compression and hashing.
    """
    previous, previous_offset = before
    box = difference_box(mask, previous, origins=(offset[::-1], previous_offset[::-1]))
    (z, y, x), ends = box or ((0, 0, 0), (0, 0, 0))
    shape = tuple(end - begin for begin, end in zip((z, y, x), ends, strict=True))
    if mask.size >= _LARGE and 2 * math.prod(shape) > mask.size:
        # The change would have as many bytes, and the receiver would have to apply it.
        return pack(mask, offset, run_pair=run_pair)
    packed = _packed(_cut_out(mask, offset, (x, y, z), shape), (x, y, z), run_pair=run_pair)
    return replace(packed, voxel_count=int(np.count_nonzero(mask)), base_revision=revision)


def _cut_out(mask: Bools, offset: Index, lower: Index, shape: tuple[int, ...]) -> Bools:
    """Voxels [z, y, x] of a box of a mask, which is 0 outside its array; a view where the box lies inside."""
    targets, sources = [], []
    for axis in (2, 1, 0):
        size = shape[2 - axis]
        begin = min(max(offset[axis] - lower[axis], 0), size)
        end = max(begin, min(offset[axis] + mask.shape[2 - axis] - lower[axis], size))
        targets.append(slice(begin, end))
        sources.append(slice(lower[axis] + begin - offset[axis], lower[axis] + end - offset[axis]))
    if all(part == slice(0, n) for part, n in zip(targets, shape, strict=True)):
        return mask[tuple(sources)]
    result = np.zeros(shape, np.bool_)
    result[tuple(targets)] = mask[tuple(sources)]
    return result


def cropped(mask: Bools) -> tuple[Bools, Index]:
    """Crop a mask to the smallest box outside which it is 0; returns the index (x, y, z) of its first voxel, too."""
    low, high = 0, len(mask)
    # Slice by slice: most masks come nearly cropped.
    while low < high and not mask[low].any():
        low += 1
    while low < high and not mask[high - 1].any():
        high -= 1
    mask = mask[low:high]
    projection = np.logical_or.reduce(mask, axis=0)
    rows, columns = np.flatnonzero(projection.any(axis=1)), np.flatnonzero(projection.any(axis=0))
    if not rows.size:
        return mask[:0], (0, 0, 0)
    y, x = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    return mask[:, y, x], (x.start, y.start, low)


def unpack(packed: PackedMask, size: Index) -> Counts:
    """Unpack a whole mask, uint8 [z, y, x], of an image of ``size`` (x, y, z).

    Raises:
        InternalError: The packed mask is damaged, or its box exceeds the image.
    """
    check_box(packed, size)
    result = np.zeros(size[::-1], np.uint8)
    (x0, y0, z0), (x1, y1, z1) = packed.lower, packed.upper
    result[z0:z1, y0:y1, x0:x1] = voxels_of(packed)
    return result


def check_box(packed: PackedMask, size: Index) -> None:
    """Refuse a packed mask whose box exceeds an image of ``size`` (x, y, z).

    Raises:
        InternalError: The box exceeds the image.
    """
    if not all(0 <= a <= b <= n for a, b, n in zip(packed.lower, packed.upper, size, strict=True)):
        raise InternalError(f"the mask's box {packed.lower} to {packed.upper} exceeds the image of size {size}")


def _packed(piece: Bools, lower: Index, *, run_pair: PairRunner) -> PackedMask:
    """Pack a box of a mask [z, y, x], whose first voxel has index ``lower`` in the image."""
    if not piece.size:
        return PackedMask((0, 0, 0), (0, 0, 0), _compress(b""), hashlib.sha256().digest(), 0)
    raw, count = bytearray(), 0
    # In groups of slices that end on whole bytes, so that a large mask is not copied at once.
    thick = 8 * max(1, _PIECE // piece[0].size // 8)
    for z in range(0, len(piece), thick):
        slices = np.ascontiguousarray(piece[z : z + thick])
        raw += np.packbits(slices.reshape(-1)).data
        count += int(np.count_nonzero(slices))
    run_pair = run_pair if len(raw) >= _PAIR_BYTES else run_serially
    bits, sha256 = run_pair(lambda: _compress(raw), lambda: hashlib.sha256(raw).digest())
    x, y, z = lower
    return PackedMask(
        lower=lower,
        upper=(x + piece.shape[2], y + piece.shape[1], z + piece.shape[0]),
        bits=bits,
        sha256=sha256,
        voxel_count=count,
    )


def voxels_of(packed: PackedMask) -> Bools:
    """Unpack the voxels of the box, bool [z, y, x].

    Raises:
        InternalError: The packed mask is damaged.
    """
    extent = [b - a for a, b in zip(packed.lower, packed.upper, strict=True)]
    count = math.prod(extent)
    try:
        # The frame announces its length: a wrong one is refused before memory is allocated.
        if min(extent) < 0 or zstandard.frame_content_size(packed.bits) not in (-1, (count + 7) // 8):
            raise InternalError("the mask arrived damaged: its box and its bits disagree")
        raw = zstandard.ZstdDecompressor().decompress(packed.bits, max_output_size=(count + 7) // 8 or 1)
    except zstandard.ZstdError as error:
        raise InternalError("the mask arrived damaged: it does not decompress") from error
    if hashlib.sha256(raw).digest() != packed.sha256 or len(raw) != (count + 7) // 8:
        raise InternalError("the mask arrived damaged: its checksum differs")
    bits = np.unpackbits(np.frombuffer(raw, np.uint8), count=count)
    return bits.reshape(extent[::-1]).view(np.bool_)


def _compress(raw: bytes | bytearray) -> bytes:
    return zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True).compress(raw)
