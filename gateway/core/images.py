"""The images that the gateway holds in memory, within a budget of bytes."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from gateway.core.reductions import Reductions
from sixpoint.errors import ChecksumMismatch, ImageNotFound, ResourceExhausted, UploadError, Violation, VolumeError
from sixpoint.geometry import Geometry
from sixpoint.volume import VOXEL_TYPES, Volume, check_voxels

__all__ = ["Header", "ImageStore", "StoredImage", "Upload"]

_RETRY_SECONDS = 30.0


@dataclass(frozen=True)
class Header:
    """What an upload announces.

    Attributes:
        digest: SHA-256 of the image, lower-case hex, as ``sixpoint.v1.Image.digest`` defines it.
        geometry: Where the voxels lie.
        voxel_type: Their type, as numbered in ``sixpoint.v1.VoxelType``.
        byte_count: Bytes of voxels that follow.
    """

    digest: str
    geometry: Geometry
    voxel_type: int
    byte_count: int


class StoredImage:
    """An image in memory, and its canonical view.

    Attributes:
        digest: SHA-256 by which it is known.
        volume: The voxels as they came.
        sessions: Number of sessions that use it.
        reduced: Gives :attr:`canonical` reduced by block means.
    """

    def __init__(self, digest: str, volume: Volume) -> None:
        self.digest = digest
        self.volume = volume
        self.sessions = 0
        self.reduced = Reductions(self.canonical)

    @property
    def nbytes(self) -> int:
        """Bytes of voxels."""
        return self.volume.array.nbytes

    @cached_property
    def canonical_geometry(self) -> Geometry:
        """Geometry of :attr:`canonical`."""
        return self.volume.geometry.canonical()

    @property
    def canonical(self) -> npt.NDArray[Any]:
        """The voxels [z, y, x] with axes closest to L, P, S: a view."""
        return self.volume.geometry.orientation.to_canonical(self.volume.array)


class ImageStore:
    """Images by digest, least recently used first.

    Args:
        budget: Bytes for all images and running uploads together.
        largest: Bytes of the largest image accepted.
    """

    def __init__(self, *, budget: int, largest: int) -> None:
        self._budget = budget
        self._largest = largest
        self._images: OrderedDict[str, StoredImage] = OrderedDict()
        self._reserved = 0

    @property
    def nbytes(self) -> int:
        """Bytes held by images and reserved for running uploads."""
        return self._reserved + sum(image.nbytes for image in self._images.values())

    def get(self, digest: str) -> StoredImage:
        """The image of this digest.

        Raises:
            ImageNotFound: When it was never uploaded, or had to make room.
        """
        try:
            self._images.move_to_end(digest)
        except KeyError:
            raise ImageNotFound("no image with this digest is here; upload it first") from None
        return self._images[digest]

    def upload(self, header: Header) -> Upload:
        """Begin an upload: checks the header and sets its memory aside.

        Raises:
            VolumeError: When the header describes no usable volume.
            UploadError: When it contradicts itself.
            ResourceExhausted: When the image is too large, or no memory is free for it.
        """
        _check_header(header)
        if header.byte_count > self._largest:
            raise ResourceExhausted(
                f"the image has {header.byte_count} bytes; at most {self._largest} are "
                "accepted (SIXPOINT_MAX_IMAGE_BYTES)"
            )
        self._make_room(header.byte_count)
        self._reserved += header.byte_count
        return Upload(self, header)

    def put(self, image: StoredImage) -> StoredImage:
        """Keep an image whose memory was reserved; the one already here wins."""
        known = self._images.setdefault(image.digest, image)
        self._images.move_to_end(image.digest)
        return known

    def release(self, byte_count: int) -> None:
        """Give back what an upload had reserved."""
        self._reserved -= byte_count

    def _make_room(self, byte_count: int) -> None:
        idle = [image for image in self._images.values() if not image.sessions]
        free = self._budget - self.nbytes
        if byte_count > free + sum(image.nbytes for image in idle):
            raise ResourceExhausted(
                f"no memory is free for an image of {byte_count} bytes: {self.nbytes} of {self._budget} are in use",
                retry_after=_RETRY_SECONDS,
            )
        for image in idle:
            if byte_count <= free:
                break
            free += image.nbytes
            del self._images[image.digest]


class Upload:
    """One image on its way in: bytes go straight to their place in one buffer. A context manager.

    :meth:`write` only copies and belongs on the event loop; :meth:`advance` and :meth:`finish` hash and check, and
    belong on a worker thread, one at a time.
    """

    def __init__(self, store: ImageStore, header: Header) -> None:
        self._store = store
        self._header = header
        # Not touched until written: the system gives pages only as chunks arrive, so an early end costs little.
        self._buffer = np.empty(header.byte_count, np.uint8)
        self._hashed = 0
        self._hash = hashlib.sha256(header.geometry.packed())
        self._hash.update(bytes([header.voxel_type]))
        self.received = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._store.release(self._header.byte_count)

    def write(self, chunk: bytes) -> None:
        """Put the next bytes in their place.

        Raises:
            UploadError: When more arrive than were announced.
        """
        end = self.received + len(chunk)
        if end > self._header.byte_count:
            raise UploadError(f"the header announced {self._header.byte_count} bytes of voxels, at least {end} arrived")
        self._buffer[self.received : end] = np.frombuffer(chunk, np.uint8)
        self.received = end

    def advance(self) -> None:
        """Hash what has arrived since the last time."""
        end = self.received
        self._hash.update(self._buffer[self._hashed : end].data)
        self._hashed = end

    def finish(self) -> StoredImage:
        """Check the whole; call :meth:`keep` with the result, on the event loop.

        Raises:
            UploadError: When bytes are missing.
            ChecksumMismatch: When they are not those announced.
            VolumeError: When voxels are NaN or infinite.
        """
        if self.received != self._header.byte_count:
            raise UploadError(
                f"the upload ended early: {self.received} of {self._header.byte_count} bytes of "
                "voxels arrived; send it again"
            )
        self.advance()
        digest = self._hash.hexdigest()
        if digest != self._header.digest:
            raise ChecksumMismatch("the SHA-256 of what arrived is not the digest announced; send the image again")
        array = self._buffer.view(VOXEL_TYPES[self._header.voxel_type]).reshape(self._header.geometry.shape)
        check_voxels(array)
        return StoredImage(digest, Volume(array, self._header.geometry))

    def keep(self, image: StoredImage) -> StoredImage:
        """Put a checked image into the store."""
        return self._store.put(image)


def _check_header(header: Header) -> None:
    if header.voxel_type not in VOXEL_TYPES:
        known = ", ".join(str(dtype) for dtype in VOXEL_TYPES.values())
        raise VolumeError(
            f"voxel type {header.voxel_type} is not supported; expected one of {known}",
            violations=(Violation("header.voxel_type", f"one of {known}"),),
        )
    if min(header.geometry.size) < 2:
        raise VolumeError(
            f"a 3D image is needed, at least two voxels along each axis; got size {header.geometry.size}",
            violations=(Violation("header.geometry.size", "at least 2 along x, y and z"),),
        )
    # Python's integers: a header cannot overflow them.
    x, y, z = header.geometry.size
    expected = x * y * z * VOXEL_TYPES[header.voxel_type].itemsize
    if header.byte_count != expected:
        raise UploadError(
            f"the header says {header.byte_count} bytes, but its size and voxel type make {expected}",
            violations=(Violation("header.byte_count", f"{expected} for this size and voxel type"),),
        )
