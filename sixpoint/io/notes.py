"""Words about images that readers of several formats use."""

from __future__ import annotations

__all__ = ["NO_PLACE"]

NO_PLACE = "positions in mm (lps, ras) have no meaning, voxel indices have"
"""What it means for points that an image has no position in the patient."""
