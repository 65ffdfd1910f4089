"""Image files that come over HTTP: read in a process of their own, and stored as uploads over gRPC are."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from gateway.core.access import Principal
from gateway.core.images import ImageHeader, ImageRecord, ImageStore
from gateway.core.runtime.fairness import Turns
from gateway.http.forms import FormFile
from gateway.http.requests.spool import SpoolFolder
from sixpoint.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    NotFound,
    ResourceExhausted,
    SixpointError,
    Unavailable,
    VolumeError,
)
from sixpoint.geometry import Geometry

__all__ = ["ImageFiles", "parse_header", "reader_environment"]

_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha")
_CHUNK_BYTES = 2**20
_ERROR_BYTES = 2**16
# Of what may fail while a series is fetched; an image that cannot be read is the caller's.
_KINDS: Mapping[str, type[SixpointError]] = {
    kind.__name__: kind for kind in (DeadlineExceeded, NotFound, ResourceExhausted, Unavailable)
}


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
        source, voxels = folder.path / f"image{file.suffix}", folder.path / "voxels"
        file.path.rename(source)
        async with self._turns.take():
            header = await self._read(source, voxels)
        return await self.store_voxels(header, voxels, folder, principal=principal)

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

    async def _read(self, source: Path, voxels: Path) -> ImageHeader:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gateway.http.decode_image",
            str(source),
            str(voxels),
            str(self._max_bytes),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=reader_environment(source.parent),
        )
        try:
            assert process.stdout is not None
            answer = await process.stdout.read(_ERROR_BYTES)
            await process.wait()
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await asyncio.shield(process.wait())
        return parse_header(answer)


def reader_environment(folder: Path) -> dict[str, str]:
    """Return the variables of a process that reads images: none of the gateway's own secrets.

    Args:
        folder: Folder of the call's files: the temporary ones go with it.
    """
    return {
        "PATH": os.environ.get("PATH", ""),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "TMPDIR": str(folder),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1",
    }


def parse_header(answer: bytes) -> ImageHeader:
    """Return the header that a process wrote which reads images.

    Raises:
        SixpointError: What it wrote instead.
    """
    try:
        content = json.loads(answer)
    except ValueError:
        raise VolumeError(
            "the image cannot be read: its file is damaged, or too large for this gateway (SIXPOINT_MAX_IMAGE_BYTES)"
        ) from None
    if "missing" in content:
        raise FailedPrecondition(
            "this gateway was installed without the packages that read image files (SimpleITK, nibabel), or series of "
            "a DICOMweb server; whoever manages it has to add them: pip install 'sixpoint[gateway,dicomweb]'"
        )
    if "error" in content:
        raise _KINDS.get(content.get("kind", ""), VolumeError)(content["error"])
    geometry = Geometry(
        size=tuple(content["size"]),
        spacing=tuple(content["spacing"]),
        origin=tuple(content["origin"]),
        direction=tuple(content["direction"]),
    )
    return ImageHeader(content["digest"], geometry, content["voxel_type"], content["byte_count"])


def _next(content: BinaryIO) -> bytes:
    return content.read(_CHUNK_BYTES)
