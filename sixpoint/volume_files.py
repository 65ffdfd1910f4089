"""Files of images, read so that whatever ITK would read wrong without a word is refused."""

from __future__ import annotations

import gzip
import math
import shutil
import tempfile
import zlib
from pathlib import Path

import SimpleITK as sitk

from sixpoint.errors import VolumeError

__all__ = ["SUFFIXES", "itk_message", "read_image"]

SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
"""The suffixes of the files that are read and written."""

# How far a DICOM slice may lie from where an even spacing puts it, in slices; scanners round positions to some digits.
_UNEVEN_SLICES = 0.1
_IMAGE_POSITION = "0020|0032"


def read_image(source: Path) -> sitk.Image:
    """Read NIfTI, NRRD, MetaImage, or a folder with one DICOM series.

    Raises:
        VolumeError: When the file is missing, empty, damaged or of another kind, or the slices of a DICOM series are
            not evenly spaced.
    """
    if not source.exists():
        raise VolumeError(f"no such file or folder: {source}")
    if source.is_dir():
        return _read_dicom(source)
    if not source.stat().st_size:
        raise VolumeError(f"{source} is empty")
    if not source.name.lower().endswith(SUFFIXES):
        raise VolumeError(
            f"{source} is of no known kind: expected {', '.join(SUFFIXES)}, or a folder with a DICOM series"
        )
    try:
        nifti = source.name.lower().endswith((".nii", ".nii.gz"))
        return _read_nifti(source) if nifti else sitk.ReadImage(str(source))
    except (RuntimeError, OSError, EOFError, zlib.error) as error:
        raise VolumeError(f"{source} cannot be read as an image: {itk_message(error)}") from error


def itk_message(error: Exception) -> str:
    """The last line of an ITK error that says what happened; its "Reason" is whatever the system's last error was."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not line.startswith("Reason:")]
    return lines[-1].removeprefix("ITK ERROR: ") if lines else type(error).__name__


def _read_nifti(source: Path) -> sitk.Image:
    """Read NIfTI from a file that is whole, uncompressed and alone in its folder.

    ITK's NIfTI reader takes the voxels of ``a.nii.gz`` from an ``a.nii`` beside it, and fills what a truncated file
    lacks with zeros.
    """
    if source.name.endswith(".nii"):
        return _read_whole_nifti(source)
    with tempfile.TemporaryDirectory(prefix="sixpoint-") as folder:
        plain = Path(folder) / "image.nii"
        opener = gzip.open if source.name.lower().endswith(".gz") else open
        with opener(source, "rb") as packed, plain.open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked, 2**20)
        return _read_whole_nifti(plain)


def _read_whole_nifti(path: Path) -> sitk.Image:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    dimension, *sizes = (int(reader.GetMetaData(f"dim[{n}]")) for n in range(8))
    voxel_bytes = int(reader.GetMetaData("bitpix")) / 8
    expected = int(float(reader.GetMetaData("vox_offset")) + math.prod(sizes[:dimension]) * voxel_bytes)
    found = path.stat().st_size
    if found < expected:
        raise EOFError(f"it was cut short: its header announces {expected} bytes, there are {found}")
    return reader.Execute()


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
    except RuntimeError as error:
        raise VolumeError(f"{folder} cannot be read as a DICOM series: {itk_message(error)}") from error
    if image.GetDimension() == 3:
        _check_slices(reader, image, folder)
    return image


def _check_slices(reader: sitk.ImageSeriesReader, image: sitk.Image, folder: Path) -> None:
    """Refuse slices that do not lie where an image's one spacing puts them: ITK only warns, and moves them there."""
    for number in range(len(reader.GetFileNames())):
        said = reader.GetMetaData(number, _IMAGE_POSITION) if reader.HasMetaDataKey(number, _IMAGE_POSITION) else ""
        if said.count("\\") == 2:
            position = [float(value) for value in said.split("\\")]
            off = math.dist(position, image.TransformIndexToPhysicalPoint((0, 0, number)))
            if off > _UNEVEN_SLICES * image.GetSpacing()[2]:
                raise VolumeError(
                    f"{folder}: slice {number} lies {off:.2f} mm off an even spacing of "
                    f"{image.GetSpacing()[2]:.2f} mm; slices are missing, unevenly spaced, or tilted (gantry)"
                )
