"""What a model that needs no prompts made of an image: its labels, each with its mask and its extreme points."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from sixpoint._typing import Array
from sixpoint.errors import InternalError, InvalidArgument, PromptError
from sixpoint.geometry import Geometry
from sixpoint.mask import Mask, PackedMask, Timings, check_box, unpack, voxels_of
from sixpoint.prompts import ExtremePoints
from sixpoint.volume import write_image

__all__ = ["LabelledMask", "Segmentation"]


@dataclass(frozen=True)
class LabelledMask:
    """One label.

    Attributes:
        number: Its number among the model's labels, from 1.
        packed: Its voxels.
        extremes: Its extreme points; None where the image has nothing of it.
    """

    number: int
    packed: PackedMask
    extremes: ExtremePoints | None


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The labels of an image.

    Attributes:
        found: The labels by name, in the order of their numbers; those without voxels, too.
        geometry: The image's own.
        model: Name of the model.
        model_version: Its version, as Triton answered.
        timings: Where the server's time went.

    Raises:
        InternalError: When a mask does not fit the image.
    """

    found: Mapping[str, LabelledMask]
    geometry: Geometry
    model: str = ""
    model_version: str = ""
    timings: Timings = field(default_factory=Timings)

    def __post_init__(self) -> None:
        for one in self.found.values():
            check_box(one.packed, self.geometry.size)
            if one.packed.base_revision:
                raise InternalError("the segmentation arrived damaged: a mask is not whole")

    @property
    def names(self) -> dict[int, str]:
        """The labels' names by number."""
        return {one.number: name for name, one in self.found.items()}

    @property
    def reply_bytes(self) -> int:
        """Size of the compressed masks that travelled."""
        return sum(len(one.packed.bits) for one in self.found.values())

    @cached_property
    def labels(self) -> Array:
        """Labels [z, y, x] on the image's own grid, 0 where there is none.

        uint8; uint16 for more than 255. Where labels overlap, which few models' do, the last one shows.

        Raises:
            InternalError: When a mask arrived damaged.
        """
        result = np.zeros(self.geometry.shape, np.min_scalar_type(max(self.names, default=0)))
        for one in self.found.values():
            (x0, y0, z0), (x1, y1, z1) = one.packed.lower, one.packed.upper
            result[z0:z1, y0:y1, x0:x1][voxels_of(one.packed)] = one.number
        return result

    def mask(self, name: str) -> Mask:
        """The voxels of one label: also what begins a segment of a session, as ``InitialMask.of(mask)``.

        Raises:
            InvalidArgument: When there is no such label.
            InternalError: When it arrived damaged.
        """
        packed = self._one(name).packed
        return Mask(
            unpack(packed, self.geometry.size),
            self.geometry,
            model=self.model,
            model_version=self.model_version,
            timings=self.timings,
            reply_bytes=len(packed.bits),
        )

    def volume_ml(self, name: str) -> float:
        """Volume of one label in millilitres.

        Raises:
            InvalidArgument: When there is no such label.
        """
        return self._one(name).packed.voxel_count * self.geometry.voxel_volume_ml

    def extreme_points(self, name: str) -> ExtremePoints:
        """The six points that a person would click on one label, as voxels of the image.

        Raises:
            InvalidArgument: When there is no such label.
            PromptError: When the image has nothing of it.
        """
        points = self._one(name).extremes
        if points is None:
            raise PromptError(f"label {name!r} has no voxels in this image, and so no extreme points")
        return points

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the labels to NIfTI, NRRD or MetaImage, as the suffix says, on the image's own grid.

        Raises:
            VolumeError: When the suffix is unknown or the file cannot be written.
        """
        write_image(self.labels, self.geometry, path)

    def _one(self, name: str) -> LabelledMask:
        if name not in self.found:
            raise InvalidArgument(f"no label is called {name!r}; there are: {', '.join(self.found) or 'none'}")
        return self.found[name]
