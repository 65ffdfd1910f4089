"""Frames: what the coordinates of a prompt count from, and along which axes."""

from __future__ import annotations

from enum import StrEnum

from sixpoint.errors import PromptError, Violation
from sixpoint.errors.shortening import quoted

__all__ = ["Frame"]


class Frame(StrEnum):
    """The frame of a point's coordinates."""

    VOXEL = "voxel"
    """Continuous indices (x, y, z) of the image, integers at voxel centres."""
    LPS = "lps"
    """Patient millimetres: Left, Posterior, Superior (DICOM, ITK)."""
    RAS = "ras"
    """Patient millimetres: Right, Anterior, Superior (NIfTI, 3D Slicer)."""

    @classmethod
    def parse(cls, name: str) -> Frame:
        """The frame of a name, in upper or lower case.

        Raises:
            PromptError: The name is unknown; the message lists the known ones.
        """
        try:
            return cls(str(name).strip().lower())
        except ValueError:
            names = ", ".join(repr(frame.value) for frame in cls)
            raise PromptError(
                f"unknown frame {quoted(name)}; expected one of {names}",
                violations=(Violation("frame", f"must be one of {names}"),),
            ) from None
