"""Whether an image suits a model: its modality, values, spacing and size against the model's spec."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sixpoint._typing import Size, Vector
from sixpoint.model_spec.parts import Task
from sixpoint.model_spec.spec import ModelSpec

if TYPE_CHECKING:
    from sixpoint.geometry import Geometry
    from sixpoint.volume import Volume

__all__ = ["ExpectedImage", "ImplausibleImageWarning", "find_doubts"]

_CANONICAL_AXES = ("from right to left", "from front to back", "from foot to head")

# DICOM's terms for images of one number per voxel. Other words in a spec, such as T1, are compared with nothing.
_MODALITIES = frozenset({"CR", "CT", "DX", "MG", "MR", "NM", "OPT", "PT", "US", "XA"})
_SYNONYMS = {"MRI": "MR", "PET": "PT"}

# Fat is at -90 to -120 HU and air at -1000: a CT of more than the inside of an organ has voxels below. MR, PET and
# photographs have none, but for the ringing of resampled MR (to -47 in public data).
_HIGHEST_CT_MINIMUM = -90.0
# No modality but CT has values like those of lung and air.
_LOWEST_OTHER_MINIMUM = -500.0
# A window of a model of any modality that reaches below this speaks of HU.
_HU_WINDOW_LOW = -50.0
# An image scaled to 0..1 covers 0.25 % of a usual CT window of 400 HU; a scan without contrast still covers a tenth.
_LEAST_WINDOW_SHARE = 0.01

# Models of 1.5 mm are used on slices of 5 mm (3.3 times as coarse). Beyond 4, three of four cells are interpolated.
_MOST_COARSE = 4.0
# The finest usual pair is CT of 0.3 mm in a model of 6 mm: 20 times as fine.
_MOST_FINE = 25.0
# Scanners for people resolve 0.06 mm at best (high-resolution CT of wrists); micro-CT is at 0.001 to 0.03 mm.
_FINEST_MM = 0.05
# Tables move 2 m at most.
_LONGEST_MM = 2200.0
# Slabs and crops are a quarter of a patch or more; below an eighth the network sees little but padding.
_LEAST_PATCH_SHARE = 1 / 8
_MOST_SLICES_OF_A_STACK = 3


class ImplausibleImageWarning(UserWarning):
    """An image is hardly one that the model is made for; its masks may be meaningless."""


@dataclass(frozen=True)
class ExpectedImage:
    """What a model expects of an image, as far as its spec says it.

    Attributes:
        segmentation: Whether the model labels whole images; otherwise it outlines objects from prompts.
        modalities: Modalities in DICOM's terms; empty for any.
        patch_size: Cells (x, y, z) that a segmentation network sees at once; None for annotation, or if unknown.
        patch_spacing: Millimetres between these cells along (x, y, z); None where ``patch_size`` is.
        windows: Lowest and highest value of each image window that is given in the image's own units.
    """

    segmentation: bool
    modalities: tuple[str, ...] = ()
    patch_size: Size | None = None
    patch_spacing: Vector | None = None
    windows: tuple[tuple[float, float], ...] = ()

    @classmethod
    def of_spec(cls, spec: ModelSpec) -> ExpectedImage:
        """What a spec says."""
        images = [channel.intensity for channel in spec.input.channels if channel.kind == "image"]
        return cls(
            segmentation=spec.task == Task.SEGMENTATION,
            modalities=spec.modalities,
            patch_size=spec.patch.size if spec.patch else None,
            patch_spacing=spec.patch.spacing if spec.patch else None,
            windows=tuple((window.low, window.high) for window in images if window.method == "range"),
        )

    @property
    def known_modalities(self) -> frozenset[str]:
        """Modalities in DICOM's terms; empty for any, or where the spec uses other words."""
        terms = {_SYNONYMS.get(term.upper(), term.upper()) for term in self.modalities}
        return frozenset(terms) if terms <= _MODALITIES else frozenset()

    @property
    def is_hounsfield(self) -> bool:
        """Whether the model works on CT in HU only."""
        hounsfield = any(low <= _HU_WINDOW_LOW for low, _ in self.windows)
        return self.known_modalities == {"CT"} or (not self.modalities and hounsfield)


def find_doubts(volume: Volume, expected: ExpectedImage) -> tuple[str, ...]:
    """Find what speaks against labelling an image with a model.

    Voxels are looked at only where the model expects values of some kind.

    Args:
        volume: Image to label.
        expected: What the model expects.

    Returns:
        One sentence for each reason: what is odd, what the model expects, what to do. Empty for a plausible image.
    """
    modality = list(_modality_doubts(volume, expected))
    # An MR in a CT model has an MR's values: that is one reason, not two.
    values = [] if modality else list(_value_doubts(volume, expected))
    return (*modality, *values, *_geometry_doubts(volume.geometry.canonical(), expected))


def _modality_doubts(volume: Volume, expected: ExpectedImage) -> Iterator[str]:
    modalities = expected.known_modalities
    if modalities and volume.modality in _MODALITIES - modalities:
        yield (
            f"the image is {volume.modality}, and the model is made for {' or '.join(sorted(modalities))}: choose a "
            f"model for {volume.modality}"
        )


def _value_doubts(volume: Volume, expected: ExpectedImage) -> Iterator[str]:
    modalities = expected.known_modalities
    if not (expected.segmentation or modalities or expected.windows):
        # Every modality and every scale of values will do.
        return
    low, high = float(volume.array.min()), float(volume.array.max())
    if low == high:
        yield f"all voxels of the image are {low:g}, so there is nothing to label: check that this is the right file"
    elif expected.is_hounsfield and low > _HIGHEST_CT_MINIMUM:
        yield (
            f"no voxel of the image is below {low:g}, and the model expects CT in HU, where fat is at -100 and air at "
            "-1000: check that the image is a CT, and that its values are HU"
        )
    elif modalities and "CT" not in modalities and low < _LOWEST_OTHER_MINIMUM and volume.modality != "CT":
        names = " or ".join(sorted(modalities))
        yield (
            f"the image has voxels of {low:g}, as CT in HU has them, and the model is made for {names}: check that the "
            f"image is {names}"
        )
    elif expected.windows and all(
        min(high, top) - max(low, bottom) < _LEAST_WINDOW_SHARE * (top - bottom) for bottom, top in expected.windows
    ):
        bottom, top = expected.windows[0]
        yield (
            f"the voxels of the image are {low:g} to {high:g}, and the model expects values of {bottom:g} to {top:g}, "
            "so it would see one grey: give it the image with its original values"
        )


def _geometry_doubts(geometry: Geometry, expected: ExpectedImage) -> Iterator[str]:
    """Doubts about a geometry in canonical order."""
    extents = [count * spacing for count, spacing in zip(geometry.size, geometry.spacing, strict=True)]
    slices = min(geometry.size)
    if slices <= (_MOST_SLICES_OF_A_STACK if expected.segmentation else 1):
        count = f"{slices} slices" if slices > 1 else "one slice"
        yield f"the image has {count}, and the model works in 3D: give it the whole scan"
    if max(extents) > _LONGEST_MM:
        axis = extents.index(max(extents))
        yield (
            f"the image is {extents[axis] / 1000:.3g} m long {_CANONICAL_AXES[axis]}, longer than any person: check "
            "the spacing in its header, which is in mm"
        )
    elif doubt := _spacing_doubt(geometry.spacing, expected.patch_spacing):
        yield doubt
    elif expected.patch_size and expected.patch_spacing and slices > _MOST_SLICES_OF_A_STACK:
        patch = [count * spacing for count, spacing in zip(expected.patch_size, expected.patch_spacing, strict=True)]
        shares = [extent / whole for extent, whole in zip(extents, patch, strict=True)]
        axis = shares.index(min(shares))
        if shares[axis] < _LEAST_PATCH_SHARE:
            yield (
                f"the image is {extents[axis]:.3g} mm long {_CANONICAL_AXES[axis]}, and the model sees "
                f"{patch[axis]:.3g} mm at once: give it a larger part of the scan"
            )


def _spacing_doubt(spacing: Vector, expected: Vector | None) -> str:
    """The doubt about a spacing in canonical order, or an empty text."""
    finest = spacing.index(min(spacing))
    if spacing[finest] < _FINEST_MM:
        return (
            f"voxels of the image lie {spacing[finest]:.3g} mm apart {_CANONICAL_AXES[finest]}, finer than scanners "
            "for people: check the spacing in its header, which is in mm"
        )
    if expected is None:
        return ""
    ratios = [given / wanted for given, wanted in zip(spacing, expected, strict=True)]
    for axis, advice in (
        (ratios.index(max(ratios)), "small structures will be missed; use thinner slices if there are any"),
        (ratios.index(min(ratios)), "check that the model is made for images of such detail"),
    ):
        if not 1 / _MOST_FINE <= ratios[axis] <= _MOST_COARSE:
            return (
                f"voxels of the image lie {spacing[axis]:.3g} mm apart {_CANONICAL_AXES[axis]}, and the model works at "
                f"{expected[axis]:.3g} mm: {advice}"
            )
    return ""
