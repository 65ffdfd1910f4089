"""Files of images, read so that whatever ITK would read wrong without a word is refused."""

from __future__ import annotations

import gzip
import itertools
import math
import shutil
import tempfile
import zlib
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from sixpoint.errors import VolumeError
from sixpoint.io.decompression import decompress

__all__ = ["IMAGE_SUFFIXES", "itk_message", "read_image"]

IMAGE_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
"""The suffixes of the files that are read and written."""

# How far a DICOM slice may lie from where an even spacing puts it, in slices; scanners round positions to some digits.
_UNEVEN_SLICES = 0.1
# How far a slice's pixel spacing (relatively) and cosines may lie from the first's: half a voxel in 512.
_LIKE_THE_FIRST = 1e-3
_IMAGE_POSITION, _ORIENTATION, _PIXEL_SPACING = "0020|0032", "0020|0037", "0028|0030"
_SLOPE, _INTERCEPT, _BITS_STORED, _SIGNED = "0028|1053", "0028|1052", "0028|0101", "0028|0103"
# How far the two places that a NIfTI header gives a voxel may lie apart, in voxels.
_TWO_PLACES = 0.5
# Millimetres in a unit of length of NIfTI's xyzt_units; one that is not named is taken for a millimetre, as by ITK.
_NIFTI_UNITS = {1: 1000.0, 3: 0.001}


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
        return _read_nifti(source) if nifti else _read_unpacked(source)
    except zlib.error as error:
        raise VolumeError(
            f"{source} cannot be read as an image: its compressed voxels are damaged; copy it anew from its source"
        ) from error
    except (RuntimeError, OSError, EOFError) as error:
        raise VolumeError(f"{source} cannot be read as an image: {itk_message(error)}") from error


def itk_message(error: Exception) -> str:
    """The last line of an ITK error that says what happened; its "Reason" is whatever the system's last error was."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not line.startswith("Reason:")]
    return lines[-1].removeprefix("ITK ERROR: ") if lines else type(error).__name__


def _read_unpacked(source: Path) -> sitk.Image:
    """Read MetaImage or NRRD, the compressed ones from a file that is not."""
    with tempfile.TemporaryDirectory(prefix="sixpoint-") as folder:
        plain = Path(folder) / ("image.mha" if source.name.lower().endswith((".mha", ".mhd")) else "image.nrrd")
        return sitk.ReadImage(str(plain if decompress(source, plain) else source))


def _read_nifti(source: Path) -> sitk.Image:
    """Read NIfTI from a file that is whole, uncompressed and alone in its folder.

    ITK's NIfTI reader takes the voxels of ``a.nii.gz`` from an ``a.nii`` beside it, and fills what a truncated file
    lacks with zeros.
    """
    if source.name.endswith(".nii"):
        return _read_whole_nifti(source, source)
    with tempfile.TemporaryDirectory(prefix="sixpoint-") as folder:
        plain = Path(folder) / "image.nii"
        opener = gzip.open if source.name.lower().endswith(".gz") else open
        with opener(source, "rb") as packed, plain.open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked, 2**20)
        return _read_whole_nifti(plain, source)


def _read_whole_nifti(path: Path, source: Path) -> sitk.Image:
    """Read an uncompressed NIfTI file, which people know as ``source``."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    dimension, *sizes = (int(reader.GetMetaData(f"dim[{n}]")) for n in range(8))
    voxel_bytes = int(reader.GetMetaData("bitpix")) / 8
    expected = int(float(reader.GetMetaData("vox_offset")) + math.prod(sizes[:dimension]) * voxel_bytes)
    found = path.stat().st_size
    if found < expected:
        raise EOFError(f"it was cut short: its header announces {expected} bytes, there are {found}")
    image = reader.Execute()
    if image.GetDimension() >= 3 and int(reader.GetMetaData("sform_code")) > 0:
        _check_sform(reader, image, source)
    return image


def _check_sform(reader: sitk.ImageFileReader, image: sitk.Image, source: Path) -> None:
    """Refuse an image whose sform puts it elsewhere than ITK does, by its qform or pixdim: other programs take it."""
    unit = _NIFTI_UNITS.get(int(reader.GetMetaData("xyzt_units")) & 7, 1.0)
    sform = np.array([reader.GetMetaData(f"srow_{axis}").split() for axis in "xyz"], np.float64) * unit
    corners = np.array(list(itertools.product(*((0.0, n - 1.0) for n in image.GetSize()[:3]))))
    others = (0.0,) * (image.GetDimension() - 3)
    read = [image.TransformContinuousIndexToPhysicalPoint((*corner, *others))[:3] for corner in corners.tolist()]
    # NIfTI's x and y run to the right and to the front, ITK's to the left and to the back.
    apart = np.linalg.norm((corners @ sform[:, :3].T + sform[:, 3]) * [-1, -1, 1] - read, axis=1).max()
    # What is not a number is no place, either.
    if not apart <= _TWO_PLACES * min(image.GetSpacing()[:3]):
        raise VolumeError(
            f"{source}: its header gives two places for the image, {apart:.2f} mm apart: the sform's, and that of the "
            "qform or pixdim; make them agree by writing it anew with the right one: fslorient -copysform2qform FILE, "
            "or nibabel's set_qform and set_sform with one affine"
        )


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
