"""The options of commands that write DICOM."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, cast

import typer

from sixpoint.geometry import Geometry
from sixpoint.io import is_dicom
from sixpoint.io.dicomweb import is_dicomweb
from sixpoint.mask_files.dicom import DicomKind, check_source, dicom_target, is_dicom_name

__all__ = ["CreatorOption", "DicomOption", "DicomOptions", "SourceOption"]

DicomOption = Annotated[
    str,
    typer.Option(
        "--dicom",
        help="Kind of a .dcm file: seg, a DICOM SEG (BINARY); labelmap, one that is a label map (LABELMAP); or "
        "rtstruct, contours.",
        metavar="seg|labelmap|rtstruct",
        show_default="seg",
    ),
]
SourceOption = Annotated[
    Path | None,
    typer.Option(
        "--source",
        help="DICOM folder or file of the image, to which a .dcm file refers; or dicomweb:URL#STUDY/SERIES.",
        show_default="the image, if it is DICOM",
    ),
]
CreatorOption = Annotated[str, typer.Option(help="Name of the person who made the mask, for a .dcm file.")]


@dataclass(frozen=True)
class DicomOptions:
    """What a command line says about a DICOM file to write.

    Attributes:
        kind: Text of ``--dicom``; empty when it is not given.
        source: Folder or file of ``--source``.
        creator: Text of ``--creator``.
    """

    kind: str = ""
    source: Path | None = None
    creator: str = ""

    def check(self, output: Path | None, image: Path | None, geometry: Geometry | None = None) -> None:
        """Refuse an output that could not be written, before the user waits for its content.

        Args:
            output: File to write, if any.
            image: Image of the command, if it has one.
            geometry: Geometry of the image, once it is read.

        Raises:
            typer.BadParameter: There is no output.
            InvalidArgument: The options do not fit the output, or no DICOM image is known.
            VolumeError: The geometry is given, and no mask can refer to the DICOM image.
        """
        if output is None:
            if self.kind or self.source or self.creator:
                raise typer.BadParameter("--dicom, --source and --creator need --output")
            return
        source = self.source
        if source is None and image and is_dicom_name(output) and (is_dicomweb(image) or is_dicom(image)):
            source = image
        target = dicom_target(output, geometry, kind=self.kind or None, source=source, creator=self.creator)
        if target and geometry:
            check_source(target, geometry)

    @property
    def dicom(self) -> DicomKind | None:
        """Kind of the file, which :meth:`check` found to be one."""
        return cast(DicomKind, self.kind) if self.kind else None
