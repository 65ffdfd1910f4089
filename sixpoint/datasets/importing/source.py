"""What is to be imported: the cases of a folder, or of a study on a DICOMweb server."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Source", "SourceCase", "SourceLayout", "stem", "visible"]


class SourceLayout(enum.StrEnum):
    """A layout of what is imported."""

    IMAGES = "images"
    PAIRS = "pairs"
    MSD = "msd"
    NNUNET = "nnunet"
    BIDS = "bids"
    DICOM = "dicom"
    DICOMWEB = "dicomweb"


@dataclass(frozen=True)
class SourceCase:
    """An image, and where its labels are.

    Attributes:
        name: Name of the case; empty for one made of the image's digest.
        image: File or folder of the image, or its address on a DICOMweb server.
        labels: Label map or DICOM SEG of the image; None without one.
        subject: What the layout says the images of one person share; empty if it says nothing.
        title: What to call the case before its digest is known; empty for its name.
    """

    name: str
    image: Path | str = field(repr=False)
    labels: Path | None = None
    subject: str = ""
    title: str = ""

    @property
    def shown_name(self) -> str:
        """What messages call the case."""
        return self.name or self.title


@dataclass(frozen=True)
class Source:
    """The cases of a folder or study. No image has been read.

    Attributes:
        layout: Layout of the folder.
        cases: Cases by name.
        names: Names of the labels by their number in label maps, as far as the layout says them.
        complete: Whether the layout says that a label without voxels is absent, not unknown.
        ignored: Numbers of voxels of which the layout says that nothing is known about them.
        left_out: Why an image or a file is left out, by its name.
    """

    layout: SourceLayout
    cases: tuple[SourceCase, ...]
    names: Mapping[int, str] = field(default_factory=dict)
    complete: bool = False
    ignored: frozenset[int] = frozenset()
    left_out: Mapping[str, str] = field(default_factory=dict)


def visible(folder: Path) -> list[Path]:
    """The content of a folder by name, without hidden files: macOS puts one beside every file."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def stem(path: Path) -> str:
    """The name of an image file without its suffix."""
    name = path.name
    for suffix in (".nii.gz", ".seg.nrrd"):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return path.stem
