"""A CT of a phantom, with an organ whose mask is known, in a real PACS."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sixpoint._typing import Array
from sixpoint.geometry import Geometry
from sixpoint.phantom import make_phantom
from tests.support.orthanc import Orthanc, StoredSeries, running_orthanc, store_files, write_ct_series
from tests.viewers.support.masks import extreme_voxels

__all__ = ["PacsCase", "pacs_case"]


@dataclass(frozen=True)
class PacsCase:
    """A CT in a PACS, and the mask of an organ in it."""

    orthanc: Orthanc
    place: StoredSeries
    organ: Array
    geometry: Geometry

    def six_points(self) -> list[tuple[float, ...]]:
        """The organ's extreme points, in the patient."""
        return [self.point(voxel[::-1]) for voxel in extreme_voxels(self.organ)]

    def point(self, voxel: Sequence[int]) -> tuple[float, ...]:
        """The place of a voxel [z, y, x] in the patient."""
        return tuple(self.geometry.index_to_point([tuple(voxel)[::-1]])[0].tolist())


@contextlib.contextmanager
def pacs_case(folder: Path) -> Iterator[PacsCase]:
    """The CT of the phantom's abdomen, with its spleen.

    Args:
        folder: Folder for its files, and for the PACS.
    """
    phantom = make_phantom()
    place = write_ct_series(folder / "series", phantom.image)
    with running_orthanc(folder / "orthanc") as orthanc:
        store_files(orthanc, folder / "series")
        yield PacsCase(orthanc, place, phantom.mask("spleen") != 0, phantom.image.geometry)
