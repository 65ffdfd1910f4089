"""An object as it is written to a file of several: its voxels, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from sixpoint._typing import Bools, Index

__all__ = ["LabelledObject"]


@dataclass(frozen=True)
class LabelledObject:
    """An object of an image.

    Attributes:
        number: Number of its label, from 1.
        name: Name of its label; empty if it has none.
        voxels: Voxels [z, y, x] of a box of the image.
        lower: Index (x, y, z) of the box's first voxel.
        model: Name of the model that outlined it; empty if no model did.
        model_version: Version of that model; empty if it has not answered, as where an initial mask was left as it was.
        automatic: Whether the model needed no prompts.
        snomed_code: SNOMED CT code of what the label is; empty to look its name up.
    """

    number: int
    name: str
    voxels: Bools = field(repr=False)
    lower: Index = (0, 0, 0)
    model: str = ""
    model_version: str = ""
    automatic: bool = False
    snomed_code: str = ""

    @property
    def origin(self) -> Literal["AUTOMATIC", "SEMIAUTOMATIC", "MANUAL"]:
        """How it was outlined, in DICOM's terms."""
        if not (self.model and self.model_version):
            return "MANUAL"
        return "AUTOMATIC" if self.automatic else "SEMIAUTOMATIC"

    @property
    def box(self) -> tuple[slice, slice, slice]:
        """Slices [z, y, x] of the box in the image."""
        z, y, x = (slice(first, first + n) for first, n in zip(self.lower[::-1], self.voxels.shape, strict=True))
        return z, y, x
