"""Voxels of DICOM slices: stored values, decoded, each rescaled as its own slice says."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels.utils import pixel_array
from pydicom.uid import RLELossless

from sixpoint._typing import Array
from sixpoint.errors import VolumeError
from sixpoint.io.dicom.frames import Frame, PixelFormat
from sixpoint.io.dicom.guard import reading

__all__ = ["read_voxels"]

# A class without geometry or rescale: a copy of the pixels under it decodes to the stored values.
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_UID_OF_COPIES = "2.25.1"
_PIXEL_KEYWORDS = (
    "BitsAllocated",
    "BitsStored",
    "Columns",
    "HighBit",
    "NumberOfFrames",
    "PixelData",
    "PixelRepresentation",
    "PlanarConfiguration",
    "Rows",
    "SamplesPerPixel",
)


def read_voxels(ordered: Sequence[Frame], source: Path) -> Array:
    """Read the voxels of slices, [z, y, x].

    MONOCHROME1 says how to show an image, not what its numbers mean: the values stay as they are stored.

    Args:
        ordered: Slices of one size, in the order of z.
        source: Path that the user typed, for error messages.

    Returns:
        Voxels of the smallest integer type that holds all that slope and intercept may yield; float32 where these are
        fractions, or differ between slices.

    Raises:
        VolumeError: When pixels are missing, damaged or compressed in an unknown way.
    """
    first = ordered[0]
    dtype = _voxel_type(ordered)
    voxels: Array | None = None
    by_file = sorted(range(len(ordered)), key=lambda z: id(ordered[z].file))
    for _, group in groupby(by_file, key=lambda z: id(ordered[z].file)):
        places = list(group)
        stored = _decode(ordered[places[0]].file, first.pixels, source)
        if voxels is None:
            # Only now: a header whose pixels cannot be decoded may announce any size.
            voxels = np.empty((len(ordered), *stored.shape[1:]), dtype)
        for z in places:
            frame = ordered[z]
            if frame.index >= len(stored):
                raise VolumeError(f"{source}: the pixels of {frame.name} are missing; copy the file anew")
            voxels[z] = _rescaled(stored[frame.index], frame, dtype)
    assert voxels is not None  # There is a slice.
    return voxels


def _voxel_type(frames: Sequence[Frame]) -> np.dtype[Any]:
    """The type of the voxels, as GDCM chooses it: an image's digest covers its type."""
    first = frames[0]
    if any(frame.value_rule != first.value_rule for frame in frames):
        return np.dtype(np.float32)
    if (first.slope, first.intercept) == (1.0, 0.0):
        return np.dtype(f"{'i' if first.pixels.signed else 'u'}{first.pixels.bits_allocated // 8}")
    if not (first.slope.is_integer() and first.intercept.is_integer()):
        return np.dtype(np.float32)
    low, high = sorted(first.slope * limit + first.intercept for limit in first.pixels.limits)
    for name in ("u1", "u2", "u4") if low >= 0 else ("i1", "i2", "i4"):
        if np.iinfo(name).min <= low and high <= np.iinfo(name).max:
            return np.dtype(name)
    return np.dtype(np.float32)


def _rescaled(stored: Array, frame: Frame, dtype: np.dtype[Any]) -> Array:
    if (frame.slope, frame.intercept) == (1.0, 0.0):
        return stored
    if dtype.kind == "f":
        return stored * np.float64(frame.slope) + np.float64(frame.intercept)
    # The type holds whatever the stored bits can yield.
    return stored.astype(np.int64) * int(frame.slope) + int(frame.intercept)


def _decode(dataset: Dataset, pixels: PixelFormat, source: Path) -> Array:
    """The stored values of a file's frames, [frame, y, x]."""
    if "PixelData" not in dataset:
        raise VolumeError(f"{source}: the file has no pixels of whole numbers; floating-point pixels are not read")
    with reading(f"{source}: pixels cannot be decoded; they are damaged, or compressed in an unknown way"):
        syntax = dataset.file_meta.TransferSyntaxUID
        native = syntax == RLELossless or not syntax.is_encapsulated
        values = pixel_array(dataset) if native else _decode_with_gdcm(dataset)
    # Decoding reads these bytes into the dataset, where those of all slices would stay.
    del dataset.PixelData
    values = values.reshape(-1, *values.shape[-2:])
    if values.shape[1:] != (pixels.rows, pixels.columns):
        raise VolumeError(f"{source}: pixels are of another size than the header says; copy the files anew")
    return values


def _decode_with_gdcm(dataset: Dataset) -> Array:
    """Decode compressed pixels with GDCM, which has all codecs, from a copy without what it would apply to them."""
    plain = Dataset()
    for keyword in _PIXEL_KEYWORDS:
        if keyword in dataset:
            plain[keyword] = dataset[keyword]
    plain.PhotometricInterpretation = "MONOCHROME2"
    plain.SOPClassUID = _SECONDARY_CAPTURE
    plain.SOPInstanceUID = _UID_OF_COPIES
    plain.file_meta = FileMetaDataset()
    plain.file_meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    plain.file_meta.MediaStorageSOPClassUID = plain.SOPClassUID
    plain.file_meta.MediaStorageSOPInstanceUID = plain.SOPInstanceUID
    with tempfile.TemporaryDirectory(prefix="sixpoint-") as folder:
        copy = Path(folder) / "pixels.dcm"
        plain.save_as(copy, enforce_file_format=True)
        return sitk.GetArrayFromImage(sitk.ReadImage(str(copy), imageIO="GDCMImageIO"))
