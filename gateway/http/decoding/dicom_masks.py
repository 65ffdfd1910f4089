"""The program that writes masks as a DICOM file: ``dicom_masks ORDER``, a file with an :data:`Order` in JSON.

It reads what a caller sent of a DICOM series: a damaged or hostile file can fill or crash this process only.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from gateway.http.decode_image import advise_sender
from gateway.http.decoding.limits import limit_series_process

if TYPE_CHECKING:
    from sixpoint.geometry import Geometry
    from sixpoint.masks.objects import LabelledObject

__all__ = ["MaskFile", "Order", "main"]

_ZIP = b"PK"


class MaskFile(TypedDict):
    """A mask, as it was packed.

    Attributes:
        number: Number of its label.
        name: Name of its label; empty if it has none.
        model: Name of the model that outlined it.
        model_version: Version of that model; empty if it has not answered.
        automatic: Whether the model needed no prompts.
        lower: Index (x, y, z) of the first voxel of its box.
        upper: Index after that of the last one.
        sha256: SHA-256 of its bits, in hexadecimal.
        voxel_count: Voxels of the mask.
        file: File with the zstd frame of its bits.
    """

    number: int
    name: str
    model: str
    model_version: str
    automatic: bool
    lower: Sequence[int]
    upper: Sequence[int]
    sha256: str
    voxel_count: int
    file: str


class Order(TypedDict):
    """What is to be written.

    Attributes:
        digest: Digest of the image.
        size: Number of its voxels along (x, y, z).
        spacing: Distances of its voxels along (x, y, z), in mm.
        origin: Place of its first voxel, in mm, LPS.
        direction: Directions of its axes, row-major.
        masks: The masks.
        source: Zip with the files of the series, or its only file; empty if they lie in the folder.
        folder: Folder with the files of the series, or for those of the source.
        limit: Largest size of all files of the zip, in bytes.
        max_bytes: Largest image, in bytes of voxels.
        kind: ``seg``, ``labelmap`` or ``rtstruct``.
        creator: Name of the person who made the masks; empty to say nobody.
        target: File to write.
    """

    digest: str
    size: Sequence[int]
    spacing: Sequence[float]
    origin: Sequence[float]
    direction: Sequence[float]
    masks: Sequence[MaskFile]
    source: str
    folder: str
    limit: int
    max_bytes: int
    kind: str
    creator: str
    target: str


def main(order: Order) -> dict[str, object]:
    """Write the file; returns its size, or an error.

    Args:
        order: What is to be written.
    """
    limit_series_process(order["max_bytes"])
    try:
        from sixpoint.errors import SixpointError
    except ImportError:
        return {"missing": True}
    try:
        return _write(order)
    except SixpointError as error:
        message = advise_sender(error.message)
        names = {order["target"]: "the mask", order["source"]: "the zip", order["folder"]: "the series"}
        for path, name in names.items():
            message = message.replace(path, name) if path else message
        return {"error": message, "kind": type(error).__name__}
    except ImportError:
        return {"missing": True}
    except (MemoryError, OSError):
        return {"error": "the series is too large for this gateway (SIXPOINT_MAX_IMAGE_BYTES), or is damaged"}


def _write(order: Order) -> dict[str, object]:
    from sixpoint.errors import VolumeError
    from sixpoint.geometry import Geometry
    from sixpoint.io.dicom.zips import unpack_dicom
    from sixpoint.io.images import is_dicom
    from sixpoint.mask_files.dicom import DicomTarget, save_dicom

    folder, target = Path(order["folder"]), Path(order["target"])
    if order["source"]:
        source = Path(order["source"])
        with source.open("rb") as file:
            first = file.read(len(_ZIP))
        if first == _ZIP:
            unpack_dicom(source, folder, max_bytes=order["limit"])
        elif is_dicom(source):
            source.rename(folder / "0.dcm")
        else:
            raise VolumeError(
                "the body is neither a zip of DICOM files nor a DICOM file; send the series that the image came from"
            )
    x, y, z = order["size"]
    dx, dy, dz = order["spacing"]
    px, py, pz = order["origin"]
    direction: Any = tuple(order["direction"])
    geometry = Geometry((x, y, z), spacing=(dx, dy, dz), origin=(px, py, pz), direction=direction)
    kind: Any = order["kind"]
    save_dicom(
        _objects(order["masks"], geometry),
        geometry,
        DicomTarget(target, kind, folder, None, order["creator"]),
        digest=order["digest"],
    )
    return {"byte_count": target.stat().st_size}


def _objects(masks: Sequence[MaskFile], geometry: Geometry) -> Iterator[LabelledObject]:
    from sixpoint.mask import PackedMask, check_box, voxels_of
    from sixpoint.masks.objects import LabelledObject

    for mask in masks:
        x0, y0, z0 = mask["lower"]
        x1, y1, z1 = mask["upper"]
        bits, sha256 = Path(mask["file"]).read_bytes(), bytes.fromhex(mask["sha256"])
        packed = PackedMask((x0, y0, z0), (x1, y1, z1), bits, sha256, mask["voxel_count"])
        check_box(packed, geometry.size)
        yield LabelledObject(
            mask["number"],
            mask["name"],
            voxels_of(packed),
            packed.lower,
            mask["model"],
            mask["model_version"],
            automatic=mask["automatic"],
        )


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(json.loads(Path(sys.argv[1]).read_text()))))
