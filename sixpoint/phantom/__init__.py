"""Phantoms: synthetic images whose organs are known, for demos and tests."""

from sixpoint.phantom.abdomen import ORGANS, Phantom, make_phantom
from sixpoint.phantom.coil import COIL, make_coil

__all__ = ["COIL", "ORGANS", "Phantom", "make_coil", "make_phantom"]
