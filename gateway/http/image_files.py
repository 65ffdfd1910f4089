"""Image files that come over HTTP: read in a process of their own, and stored as uploads over gRPC are."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from gateway.core.access import Principal
from gateway.core.images import ImageHeader, ImageRecord, ImageStore
from gateway.core.runtime.fairness import Turns
from gateway.http.decoding.processes import parse_answer, run_decoder
from gateway.http.forms import FormFile
from gateway.http.requests.spool import SpoolFolder
from sixpoint.errors import VolumeError
from sixpoint.geometry import Geometry

__all__ = ["ImageFiles", "parse_header"]

_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha")
_CHUNK_BYTES = 2**20


class ImageFiles:
    """Stores images that come as files.

    Args:
        images: All images.
        turns: Turns of the processes that read files.
        max_bytes: Largest image, in bytes of voxels.
    """

    def __init__(self, images: ImageStore, *, turns: Turns, max_bytes: int) -> None:
        self._images = images
        self._turns = turns
        self._max_bytes = max_bytes

    @property
    def max_body_bytes(self) -> int:
        """Largest body that may hold an image: headers, and a form around it, take some bytes, too."""
        return self._max_bytes + 2**20

    async def store(self, file: FormFile, folder: SpoolFolder, *, principal: Principal) -> ImageRecord:
        """Store an image.

        Args:
            file: Its file.
            folder: Folder of the call's files.
            principal: Who uploads it.

        Raises:
            VolumeError: The file is no usable image.
            FailedPrecondition: This gateway was installed without what reads image files.
            ResourceExhausted: The image is too large, or too many images are being read.
            StorageFull: The quota of the disk, or of the owner, is spent.
        """
        if file.suffix not in _SUFFIXES:
            raise VolumeError(
                f"an image file ends in {', '.join(_SUFFIXES)}; a DICOM series cannot be sent here yet: load it in the "
                "viewer, which then sends a volume"
            )
        source = folder.path / f"image{file.suffix}"
        file.path.rename(source)
        return await self.store_decoded("gateway.http.decode_image", [str(source)], folder, principal=principal)

    async def store_decoded(
        self, program: str, arguments: Sequence[str], folder: SpoolFolder, *, principal: Principal
    ) -> ImageRecord:
        """Store an image that a program reads.

        Args:
            program: Module that writes the voxels to a file, and prints the image's header or an error. It gets the
                arguments, then that file, then the largest number of bytes of voxels.
            arguments: Its first arguments.
            folder: Folder of the call's files.
            principal: Who uploads the image.

        Raises:
            SixpointError: As :meth:`store` does.
        """
        voxels = folder.path / "voxels"
        async with self._turns.take():
            content = await run_decoder(program, [*arguments, str(voxels), str(self._max_bytes)], folder=folder.path)
        return await self.store_voxels(_header(content), voxels, folder, principal=principal)

    async def store_voxels(
        self, header: ImageHeader, voxels: Path, folder: SpoolFolder, *, principal: Principal
    ) -> ImageRecord:
        """Store an image that was read.

        Args:
            header: Its header.
            voxels: File with its voxels.
            folder: Folder of the call's files, among them this one.
            principal: Who uploads it.

        Raises:
            ResourceExhausted: There is no room for it now.
            StorageFull: The quota of the disk, or of the owner, is spent.
        """
        folder.reserve(header.byte_count)
        async with self._images.upload(header, principal=principal) as upload:
            with voxels.open("rb") as content:
                while chunk := await asyncio.to_thread(_next, content):
                    await upload.write(chunk)
                return await upload.finish()


def parse_header(answer: bytes) -> ImageHeader:
    """Return the header that a process wrote which reads images.

    Raises:
        SixpointError: What it wrote instead.
    """
    return _header(parse_answer(answer))


def _header(content: Mapping[str, Any]) -> ImageHeader:
    geometry = Geometry(
        size=tuple(content["size"]),
        spacing=tuple(content["spacing"]),
        origin=tuple(content["origin"]),
        direction=tuple(content["direction"]),
    )
    return ImageHeader(content["digest"], geometry, content["voxel_type"], content["byte_count"])


def _next(content: BinaryIO) -> bytes:
    return content.read(_CHUNK_BYTES)
