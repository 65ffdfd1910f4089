"""The labels that a segmentation model found in an image, each with its mask and extreme points."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from sixpoint._typing import Array
from sixpoint.errors import InternalError, InvalidArgument, PromptError
from sixpoint.errors.shortening import quoted
from sixpoint.geometry import Geometry
from sixpoint.mask import Mask, PackedMask, Timings, check_box, model_text, unpack, voxels_of
from sixpoint.mask_files.dicom import DicomKind, dicom_target, save_dicom
from sixpoint.mask_files.labels import write_labels
from sixpoint.masks.objects import LabelledObject
from sixpoint.prompts import ExtremePoints

__all__ = ["LabelledMask", "Segmentation"]

_LABELS_IN_REPR = 3


@dataclass(frozen=True)
class LabelledMask:
    """The mask of one label.

    Attributes:
        number: Number of the label in the model, from 1.
        packed: Packed mask of the label.
        extremes: Extreme points of the label; None where it has no voxels.
    """

    number: int
    packed: PackedMask
    extremes: ExtremePoints | None


@dataclass(frozen=True, eq=False, repr=False)
class Segmentation:
    """The labels of an image.

    Attributes:
        found: Labels by name, in the order of their numbers, including those without voxels.
        geometry: Geometry of the image.
        model: Name of the model.
        model_version: Version of the model that answered.
        timings: Time that each phase took on the server.
        image_digest: Digest of the image; empty if it is unknown.

    Raises:
        InternalError: A mask exceeds the image, or is not whole.
    """

    found: Mapping[str, LabelledMask]
    geometry: Geometry
    model: str = ""
    model_version: str = ""
    timings: Timings = field(default_factory=Timings)
    image_digest: str = ""

    def __post_init__(self) -> None:
        for label in self.found.values():
            check_box(label.packed, self.geometry.size)
            if label.packed.base_revision:
                raise InternalError("the segmentation arrived damaged: a mask is not whole")

    def __repr__(self) -> str:
        labels = [f"{name} {self.volume_ml(name):.1f} ml" for name in list(self.found)[:_LABELS_IN_REPR]]
        if len(self.found) > len(labels):
            labels.append(f"{len(self.found) - len(labels)} more")
        parts = [*labels, self.geometry.size_text, model_text(self.model, self.model_version)]
        return f"Segmentation({', '.join(filter(None, parts))})"

    def _repr_html_(self) -> str:
        """The silhouette of all labels together, for notebooks."""
        from sixpoint.preview import picture_html, render_silhouette

        return picture_html(render_silhouette(self.labels, self.geometry), caption=repr(self))

    @property
    def names(self) -> dict[int, str]:
        """Names of the labels by number."""
        return {label.number: name for name, label in self.found.items()}

    @property
    def reply_bytes(self) -> int:
        """Size of the compressed masks."""
        return sum(len(label.packed.bits) for label in self.found.values())

    @cached_property
    def labels(self) -> Array:
        """Label map [z, y, x] on the image's own grid, 0 for background; uint8, or uint16 for more than 255 labels.

        Where labels overlap, as of few models, the last one wins.

        Raises:
            InternalError: A mask arrived damaged.
        """
        result = np.zeros(self.geometry.shape, np.min_scalar_type(max(self.names, default=0)))
        for label in self.found.values():
            (x0, y0, z0), (x1, y1, z1) = label.packed.lower, label.packed.upper
            result[z0:z1, y0:y1, x0:x1][voxels_of(label.packed)] = label.number
        return result

    def mask(self, name: str) -> Mask:
        """Unpack the mask of one label; ``InitialMask.of(mask)`` makes it a prompt for a session.

        Raises:
            InvalidArgument: The label does not exist.
            InternalError: The mask arrived damaged.
        """
        packed = self._label(name).packed
        return Mask(
            unpack(packed, self.geometry.size),
            self.geometry,
            model=self.model,
            model_version=self.model_version,
            timings=self.timings,
            reply_bytes=len(packed.bits),
            names={1: name},
            image_digest=self.image_digest,
        )

    def volume_ml(self, name: str) -> float:
        """Volume of one label in millilitres.

        Raises:
            InvalidArgument: The label does not exist.
        """
        return self._label(name).packed.voxel_count * self.geometry.voxel_volume_ml

    def extreme_points(self, name: str) -> ExtremePoints:
        """The six extreme points of one label, as voxel indices of the image.

        Raises:
            InvalidArgument: The label does not exist.
            PromptError: The label has no voxels.
        """
        points = self._label(name).extremes
        if points is None:
            raise PromptError(f"label {quoted(name)} has no voxels in this image, so it has no extreme points")
        return points

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        names: bool = False,
        dicom: DicomKind | None = None,
        source: str | os.PathLike[str] | None = None,
        creator: str = "",
    ) -> None:
        """Write the labels to a NIfTI, NRRD, MetaImage or DICOM file, as the suffix says, on the image's own grid.

        Args:
            path: File to write. A ``.seg.nrrd`` file has the names and colours of the labels, for 3D Slicer. A ``.dcm``
                file belongs to the DICOM image, has the names, and needs the image's files.
            names: Whether the names of the labels are written to a JSON file beside another file: ``labels.json``
                beside ``labels.nii.gz``.
            dicom: Kind of a ``.dcm`` file: "seg", "labelmap" or "rtstruct"; None for "seg".
            source: Folder or file with the DICOM image; None for that which the image was read from.
            creator: Name of the person who made the labels, for a ``.dcm`` file; empty to say nobody.

        Raises:
            InvalidArgument: The image's DICOM files are not known; or no label has a voxel, and it is to be written as
                DICOM.
            VolumeError: The suffix is unknown, a file cannot be written, or the DICOM files are not the image's.
        """
        target = dicom_target(path, self.geometry, kind=dicom, source=source, creator=creator)
        if target:
            save_dicom(self._objects(), self.geometry, target, digest=self.image_digest)
            return
        write_labels(self.labels, self.geometry, path, names=self.names, with_names=names)

    def _objects(self) -> Iterator[LabelledObject]:
        """Yield the labels as objects by number; unlike in a label map, they may overlap."""
        for name, label in sorted(self.found.items(), key=lambda item: item[1].number):
            voxels, lower = voxels_of(label.packed), label.packed.lower
            yield LabelledObject(label.number, name, voxels, lower, self.model, self.model_version, automatic=True)

    def _label(self, name: str) -> LabelledMask:
        if name not in self.found:
            raise InvalidArgument(f"unknown label {quoted(name)}; expected one of {', '.join(self.found) or 'none'}")
        return self.found[name]
