"""Masks as a DICOM file that refers to the series of their image, written by a process of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.core.images import ImageRecord
from gateway.http.decoding.dicom_masks import MaskFile, Order
from gateway.http.image_files import ImageFiles
from gateway.http.requests.spool import SpoolFolder
from sixpoint.mask import PackedMask

__all__ = ["DICOM_MEDIA_TYPE", "DicomForm", "NamedMask", "write_dicom_masks"]

DICOM_MEDIA_TYPE = "application/dicom"


@dataclass(frozen=True)
class NamedMask:
    """A mask, and what its file says of it.

    Attributes:
        number: Number of its label, from 1.
        name: Name of its label; empty if it has none.
        mask: The mask.
        model: Name of the model that outlined it.
        version: Version of that model; empty if it has not answered.
        automatic: Whether the model needed no prompts.
    """

    number: int
    name: str
    mask: PackedMask
    model: str
    version: str
    automatic: bool = False


@dataclass(frozen=True)
class DicomForm:
    """Form of a DICOM file.

    Attributes:
        kind: ``seg``, ``labelmap`` or ``rtstruct``.
        creator: Name of the person who made the masks; empty to say nobody.
    """

    kind: str = "seg"
    creator: str = ""


async def write_dicom_masks(
    files: ImageFiles,
    record: ImageRecord,
    masks: Sequence[NamedMask],
    folder: SpoolFolder,
    *,
    series: Path,
    source: Path | None = None,
    limit: int = 0,
    form: DicomForm,
) -> Path:
    """Write masks as a DICOM file; returns the file.

    Args:
        files: Runs the process.
        record: The image.
        masks: The masks; those without voxels are left out.
        folder: Folder of the call's files.
        series: Folder with the files of the image's series, or for those of the source.
        source: Zip with the files of the series, or its only file; None if they lie in the folder.
        limit: Largest size of all files of the zip, in bytes.
        form: Form of the file.

    Raises:
        VolumeError: The series is not the image, or cannot be referred to.
        InvalidArgument: No mask has a voxel, or this kind of file cannot hold the masks.
        ResourceExhausted: Too many such processes are running, or the disk has no room.
    """
    folder.reserve(sum(len(each.mask.bits) for each in masks))
    geometry, target, order_file = record.geometry, folder.path / "mask.dcm", folder.path / "order"
    order = Order(
        digest=record.digest,
        size=geometry.size,
        spacing=geometry.spacing,
        origin=geometry.origin,
        direction=geometry.direction,
        masks=await asyncio.to_thread(_write_bits, masks, folder.path),
        source=str(source) if source else "",
        folder=str(series),
        limit=limit,
        max_bytes=files.max_bytes,
        kind=form.kind,
        creator=form.creator,
        target=str(target),
    )
    # Not as an argument: others on this machine could read the names there.
    await asyncio.to_thread(order_file.write_text, json.dumps(order))
    answer = await files.run("gateway.http.decoding.dicom_masks", [str(order_file)], folder)
    folder.reserve(int(answer["byte_count"]))
    return target


def _write_bits(masks: Sequence[NamedMask], folder: Path) -> list[MaskFile]:
    """Write the bits of masks to files, and return what else they say."""
    written = []
    for each in masks:
        path = folder / f"mask{each.number}"
        path.write_bytes(each.mask.bits)
        written.append(
            MaskFile(
                number=each.number,
                name=each.name,
                model=each.model,
                model_version=each.version,
                automatic=each.automatic,
                lower=each.mask.lower,
                upper=each.mask.upper,
                sha256=each.mask.sha256.hex(),
                voxel_count=each.mask.voxel_count,
                file=str(path),
            )
        )
    return written
