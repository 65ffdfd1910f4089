"""Read image files, and refuse those that ITK would misread without an error."""

from __future__ import annotations

import math
import tempfile
import zlib
from pathlib import Path

import SimpleITK as sitk

from sixpoint.errors import VolumeError
from sixpoint.io.decompression import decompress
from sixpoint.io.nifti import read_nifti

__all__ = ["IMAGE_SUFFIXES", "itk_message", "read_image"]

IMAGE_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
"""Suffixes of the files that can be read and written."""

# How far a DICOM slice may lie from where an even spacing puts it, in slices; scanners round positions to some digits.
_UNEVEN_SLICES = 0.1
# How far a slice's pixel spacing (relatively) and cosines may lie from the first's: half a voxel in 512.
_LIKE_THE_FIRST = 1e-3
_IMAGE_POSITION, _ORIENTATION, _PIXEL_SPACING = "0020|0032", "0020|0037", "0028|0030"
_SLOPE, _INTERCEPT, _BITS_STORED, _SIGNED = "0028|1053", "0028|1052", "0028|0101", "0028|0103"


def read_image(source: Path) -> sitk.Image:
    """Read NIfTI, NRRD, MetaImage, or a folder with one DICOM series.

    Raises:
        VolumeError: When the file is missing, empty, damaged or of another kind, the header of a NIfTI file gives two
            places, or the slices of a DICOM series are not of one kind and evenly spaced.
    """
    if not source.exists():
        raise VolumeError(f"no such file or folder: {source}")
    if source.is_dir():
        return _read_dicom(source)
    if not source.stat().st_size:
        raise VolumeError(f"{source} is empty")
    if not source.name.lower().endswith(IMAGE_SUFFIXES):
        raise VolumeError(
            f"{source} is of no known kind: expected {', '.join(IMAGE_SUFFIXES)}, or a folder with a DICOM series"
        )
    try:
        nifti = source.name.lower().endswith((".nii", ".nii.gz"))
        return read_nifti(source) if nifti else _read_unpacked(source)
    except zlib.error as error:
        raise VolumeError(
            f"{source} cannot be read as an image: its compressed voxels are damaged; copy it anew from its source"
        ) from error
    except (RuntimeError, OSError, EOFError) as error:
        raise VolumeError(f"{source} cannot be read as an image: {itk_message(error)}") from error


def itk_message(error: Exception) -> str:
    """The line of an ITK error that says what happened; "Reason" is the system's last error, whatever it was."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not line.startswith("Reason:")]
    return lines[-1].removeprefix("ITK ERROR: ") if lines else type(error).__name__


def _read_unpacked(source: Path) -> sitk.Image:
    """Read MetaImage or NRRD; compressed files are decompressed to a temporary file first."""
    with tempfile.TemporaryDirectory(prefix="sixpoint-") as folder:
        plain = Path(folder) / ("image.mha" if source.name.lower().endswith((".mha", ".mhd")) else "image.nrrd")
        return sitk.ReadImage(str(plain if decompress(source, plain) else source))


def _read_dicom(folder: Path) -> sitk.Image:
    reader = sitk.ImageSeriesReader()
    series = reader.GetGDCMSeriesIDs(str(folder))
    if not series:
        raise VolumeError(f"{folder} holds no DICOM series")
    if len(series) > 1:
        counts = ", ".join(str(len(reader.GetGDCMSeriesFileNames(str(folder), uid))) for uid in series)
        raise VolumeError(
            f"{folder} holds {len(series)} DICOM series (of {counts} files); put one series into a folder of its own"
        )
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder), series[0]))
    reader.MetaDataDictionaryArrayUpdateOn()
    try:
        image = reader.Execute()
        if image.GetNumberOfComponentsPerPixel() == 1 and _rescaled_differently(reader):
            # ITK takes the type of all voxels from the first slice.
            reader.SetOutputPixelType(sitk.sitkFloat32)
            image = reader.Execute()
        if image.GetDimension() == 3:
            _check_slices(reader, image, folder)
    except (RuntimeError, ValueError) as error:
        raise VolumeError(f"{folder} cannot be read as a DICOM series: {itk_message(error)}") from error
    return image


def _said(reader: sitk.ImageSeriesReader, number: int, tag: str) -> tuple[float, ...]:
    """The numbers of a slice's tag; none when it lacks it.

    Raises:
        ValueError: When they are no numbers.
    """
    text = reader.GetMetaData(number, tag) if reader.HasMetaDataKey(number, tag) else ""
    return tuple(float(value) for value in text.split("\\") if value.strip())


def _rescaled_differently(reader: sitk.ImageSeriesReader) -> bool:
    """Whether slices differ in what their stored numbers stand for."""
    meant = {
        (
            _said(reader, number, _SLOPE) or (1.0,),
            _said(reader, number, _INTERCEPT) or (0.0,),
            _said(reader, number, _BITS_STORED),
            _said(reader, number, _SIGNED),
        )
        for number in range(len(reader.GetFileNames()))
    }
    return len(meant) > 1


def _check_slices(reader: sitk.ImageSeriesReader, image: sitk.Image, folder: Path) -> None:
    """Refuse slices that do not lie where an image's one geometry puts them.

    ITK takes pixel spacing and orientation from the first; of uneven spacing it only warns, and moves the slices.
    """
    spacing, orientation = _said(reader, 0, _PIXEL_SPACING), _said(reader, 0, _ORIENTATION)
    for number in range(len(reader.GetFileNames())):
        if not _close(_said(reader, number, _PIXEL_SPACING), spacing, relative=_LIKE_THE_FIRST):
            raise _unlike(reader, folder, number, "pixel spacing")
        if not _close(_said(reader, number, _ORIENTATION), orientation, absolute=_LIKE_THE_FIRST):
            raise _unlike(reader, folder, number, "orientation")
        position = _said(reader, number, _IMAGE_POSITION)
        if len(position) == 3:
            off = math.dist(position, image.TransformIndexToPhysicalPoint((0, 0, number)))
            if off > _UNEVEN_SLICES * image.GetSpacing()[2]:
                raise VolumeError(
                    f"{folder}: slice {number} lies {off:.2f} mm off an even spacing of "
                    f"{image.GetSpacing()[2]:.2f} mm; slices are missing, unevenly spaced, or tilted (gantry)"
                )


def _close(these: tuple[float, ...], those: tuple[float, ...], *, relative: float = 0.0, absolute: float = 0.0) -> bool:
    return len(these) == len(those) and all(
        math.isclose(a, b, rel_tol=relative, abs_tol=absolute) for a, b in zip(these, those, strict=True)
    )


def _unlike(reader: sitk.ImageSeriesReader, folder: Path, number: int, what: str) -> VolumeError:
    first, other = (Path(reader.GetFileNames()[n]).name for n in (0, number))
    return VolumeError(
        f"{folder}: {other} has another {what} than {first}; put slices of one kind into a folder of their own"
    )
