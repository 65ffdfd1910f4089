"""The image of a call: what a user gives becomes a volume."""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from sixpoint._typing import Array
from sixpoint.client._sansio import Work
from sixpoint.errors import VolumeError
from sixpoint.geometry import Geometry
from sixpoint.volume import ImageWarning, Volume

if TYPE_CHECKING:
    import SimpleITK as sitk
    from nibabel.nifti1 import Nifti1Image

__all__ = ["ImageSource", "load"]

ImageSource: TypeAlias = "str | os.PathLike[str] | Volume | Array | sitk.Image | Nifti1Image"
"""What is taken for an image: a file (NIfTI, NRRD, MetaImage, multi-frame DICOM) or a folder with one DICOM series; a
volume, an image of SimpleITK or of nibabel; or an array [z, y, x] together with its spacing or its geometry."""

_NO_PLACE = (
    "the array came without a position in the patient: its axes z, y, x are taken to run to Superior, Posterior and "
    "Left, and only voxel indices have a meaning"
)


def load(
    image: ImageSource, *, spacing: Sequence[float] | None = None, geometry: Geometry | None = None
) -> Work[Volume]:
    """Make a volume of an image; a volume is returned as it is.

    Args:
        image: What the user gave.
        spacing: Spacing (x, y, z) in mm of an array, or of a file whose header lacks it.
        geometry: Geometry of an array.
    """
    return Work(lambda: _load(image, spacing, geometry))


def _load(image: object, spacing: Sequence[float] | None, geometry: Geometry | None) -> Volume:
    if isinstance(image, np.ndarray):
        return _from_array(image, spacing, geometry)
    if geometry is not None:
        raise VolumeError("geometry is for an array; every other image has its own: leave geometry out")
    if isinstance(image, str | os.PathLike):
        volume = Volume.read(image, spacing=spacing)
        # Here, since who reads a Volume himself has its notes. A text with a path is printed once for each file.
        for note in volume.notes:
            warnings.warn(note, ImageWarning, stacklevel=2)
        return volume
    if spacing is not None:
        raise VolumeError(
            f"spacing is for an array or a file; the {type(image).__name__} has its own: leave spacing out"
        )
    if isinstance(image, Volume):
        return image
    # Who has an image of SimpleITK or nibabel has imported it.
    itk, nifti = sys.modules.get("SimpleITK"), sys.modules.get("nibabel.nifti1")
    if itk is not None and isinstance(image, itk.Image):
        return Volume.from_sitk(image)
    if nifti is not None and isinstance(image, nifti.Nifti1Pair):
        return _from_nifti(image)
    raise VolumeError(
        f"expected a file, a folder, a Volume, an array or an image of SimpleITK or nibabel (Nifti1Image), got "
        f"{type(image).__name__}; convert it to an array [z, y, x] and give spacing=(x, y, z) in mm"
    )


def _from_array(array: Array, spacing: Sequence[float] | None, geometry: Geometry | None) -> Volume:
    if (spacing is None) == (geometry is None):
        what = "needs spacing=(x, y, z) in mm, or" if spacing is None else "takes spacing or geometry, not both: give"
        raise VolumeError(
            f"an array {what} geometry=sixpoint.Geometry(...), which also says where it lies in the patient; "
            "its axes are [z, y, x]"
        )
    if np.ma.isMaskedArray(array) and np.ma.is_masked(array):
        raise VolumeError("the array has masked elements, which an image has not: fill them, array.filled(value)")
    if geometry is not None:
        return Volume(np.asarray(array), geometry)
    if array.ndim != 3:
        raise VolumeError(f"a volume has three axes [z, y, x], got an array of shape {array.shape}")
    z, y, x = array.shape
    numbers = () if spacing is None else tuple(spacing)
    # Geometry checks the numbers.
    placed = Geometry(size=(x, y, z), spacing=numbers)  # type: ignore[arg-type]  # it may have too few numbers
    return Volume(np.asarray(array), placed, (_NO_PLACE,))


def _from_nifti(image: Nifti1Image) -> Volume:
    """Convert an image of nibabel by way of a file, so that its header is checked and kept like that of any file."""
    from nibabel.nifti1 import Nifti1Image
    from nibabel.spatialimages import HeaderDataError

    with tempfile.TemporaryDirectory(prefix="sixpoint-") as folder:
        path = Path(folder) / "image.nii"
        try:
            data = np.asanyarray(image.dataobj)
            if data.dtype.kind == "b" or data.dtype == np.float16:
                # NIfTI has no such types.
                data = data.astype(np.uint8 if data.dtype.kind == "b" else np.float32)
            # The numbers as they are: nibabel would round them to the type of the header.
            Nifti1Image(data, image.affine, image.header, dtype=data.dtype).to_filename(path)
            volume = Volume.read(path)
        except VolumeError as error:
            raise VolumeError(error.message.replace(str(path), "the image of nibabel")) from None
        except (OSError, ValueError, HeaderDataError) as error:
            raise VolumeError(
                f"the image of nibabel cannot be read; save it to a file, and give that ({type(error).__name__})"
            ) from error
    notes = tuple(note.replace(str(path), "the image of nibabel") for note in volume.notes)
    return Volume(volume.array, volume.geometry, notes)
