"""Image files that come over HTTP: read in a process of their own, and stored as uploads over gRPC are."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from gateway.core.access import Principal
from gateway.core.images import ImageHeader, ImageRecord, ImageStore
from gateway.core.runtime.fairness import Turns
from gateway.http.decoding.processes import parse_answer, run_decoder
from gateway.http.forms import FormFile
from gateway.http.requests.spool import SpoolFolder
from sixpoint.errors import VolumeError
from sixpoint.geometry import Geometry
from sixpoint.volume import voxel_type_number

__all__ = ["PICTURE_SUFFIXES", "ImageFiles", "parse_header"]

_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha")
# As OHIF sends what it has drawn.
_BARE = ".bin"
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
"""Kinds of files that hold a picture, and no volume."""
_CHUNK_BYTES = 2**20
# Of a zip: how many times its own size its files may take, and what their headers may take besides.
_UNPACKED, _HEADERS_BYTES = 10, 2**26


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

    @property
    def max_bytes(self) -> int:
        """Largest image, in bytes of voxels."""
        return self._max_bytes

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
        source = self._source(file, folder)
        return await self.store_decoded("gateway.http.decode_image", [source], folder, principal=principal)

    async def read(self, file: FormFile, folder: SpoolFolder) -> tuple[ImageHeader, Path]:
        """Read an image without storing it; returns its header, and a file with its voxels.

        Args:
            file: Its file.
            folder: Folder of the call's files.

        Raises:
            SixpointError: As :meth:`store` does.
        """
        voxels, source = folder.path / "voxels", self._source(file, folder)
        content = await self.run("gateway.http.decode_image", [source, str(voxels), str(self._max_bytes)], folder)
        header = _header(content)
        folder.reserve(header.byte_count)
        return header, voxels

    async def read_on_grid(self, file: FormFile, folder: SpoolFolder, geometry: Geometry) -> tuple[ImageHeader, Path]:
        """Read a label map of an image; also bare voxels (``.bin``), uint8 or uint16 in the order of the image.

        Args:
            file: Its file.
            folder: Folder of the call's files.
            geometry: Geometry of the image.

        Raises:
            SixpointError: As :meth:`read` does.
        """
        if file.suffix != _BARE:
            return await self.read(file, folder)
        count, nbytes = math.prod(geometry.size), file.path.stat().st_size
        if nbytes not in (count, 2 * count):
            raise VolumeError(
                f"the label map has {nbytes} bytes, and the image {count} voxels; expected one or two bytes for each"
            )
        voxel_type = voxel_type_number(np.dtype("<u1" if nbytes == count else "<u2"))
        return ImageHeader("", geometry, voxel_type, nbytes), file.path

    async def run(self, program: str, arguments: Sequence[str], folder: SpoolFolder) -> dict[str, Any]:
        """Run a program on what a caller sent, in a process of its own, when it is its turn.

        Args:
            program: Module to run.
            arguments: Its arguments.
            folder: Folder of the call's files.

        Returns:
            What it printed, an object in JSON.

        Raises:
            VolumeError: The program refused it.
            ResourceExhausted: Too many of them are running.
        """
        async with self._turns.take():
            return await run_decoder(program, arguments, folder=folder.path)

    def _source(self, file: FormFile, folder: SpoolFolder) -> str:
        """The file under a name that says what kind of file it is."""
        if file.suffix in PICTURE_SUFFIXES:
            raise VolumeError(
                f"the image is a picture ({file.suffix}), which has no spacing in mm and no further slices, and the "
                f"gateway invents none; expected a volume ({', '.join(_SUFFIXES)}): send the one that the picture is a "
                "slice of"
            )
        if file.suffix not in _SUFFIXES:
            raise VolumeError(
                f"an image file ends in {', '.join(_SUFFIXES)}; a DICOM series cannot be sent here yet: load it in the "
                "viewer, which then sends a volume"
            )
        source = folder.path / f"image{file.suffix}"
        file.path.rename(source)
        return str(source)

    async def store_series(
        self, files: Sequence[FormFile], folder: SpoolFolder, *, principal: Principal
    ) -> ImageRecord:
        """Store an image that comes as the files of a DICOM series.

        Args:
            files: Its files, in any order.
            folder: Folder of the call's files.
            principal: Who uploads it.

        Raises:
            SixpointError: As :meth:`store` does.
        """
        source = folder.path / "series"
        source.mkdir()
        for number, file in enumerate(files):
            file.path.rename(source / f"{number}.dcm")
        voxels = folder.path / "voxels"
        arguments = [str(source), str(voxels), str(self._max_bytes)]
        header = _header(await self.run("gateway.http.decode_image", arguments, folder))
        if len(files) not in (1, header.geometry.size[2]):
            # The viewer shows a slice for each file; a mask with another number would be misplaced.
            raise VolumeError(
                f"of the {len(files)} files {header.geometry.size[2]} are slices of one image; send all files of one "
                "series, and no others"
            )
        return await self.store_voxels(header, voxels, folder, principal=principal)

    async def store_zip(self, file: FormFile, folder: SpoolFolder, *, principal: Principal) -> ImageRecord:
        """Store an image that comes as a zip with the files of a DICOM series.

        Args:
            file: The zip.
            folder: Folder of the call's files.
            principal: Who uploads it.

        Raises:
            SixpointError: As :meth:`store` does.
        """
        series = folder.path / "series"
        series.mkdir()
        limit = self.reserve_unpacked(file, folder)
        program = "gateway.http.decoding.zipped_series"
        return await self.store_decoded(program, [str(file.path), str(series), str(limit)], folder, principal=principal)

    def reserve_unpacked(self, file: FormFile, folder: SpoolFolder) -> int:
        """Reserve room for the files of a zip; returns the largest size of all of them.

        Args:
            file: The zip.
            folder: Folder of the call's files.

        Raises:
            ResourceExhausted: There is no room for them now.
        """
        limit = min(_UNPACKED * file.path.stat().st_size, self._max_bytes) + _HEADERS_BYTES
        folder.reserve(limit)
        return limit

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
        content = await self.run(program, [*arguments, str(voxels), str(self._max_bytes)], folder)
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
