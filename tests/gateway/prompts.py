"""Prompts for the ellipsoid-shaped object in the small noisy volume that tests use."""

from __future__ import annotations

import numpy as np

from sixpoint.prompts import Box, Click, ExtremePoints

POINTS = np.array([[8, 17, 16], [31, 18, 15], [20, 7, 15], [19, 28, 17], [20, 18, 6], [21, 17, 25]], float)
SIX = ExtremePoints(POINTS.tolist())
BOX = Box((8, 7, 6), (31, 28, 25))
ADD, TAKE = Click((4, 17, 16)), Click((20, 17, 16), False)
