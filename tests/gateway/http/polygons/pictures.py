"""A picture with holes, and the contours that OpenCV finds in it."""

from __future__ import annotations

import numpy as np

from sixpoint._typing import Bools

__all__ = ["CONTOURS", "PICTURE", "picture"]

# Two objects, of which one has two holes; one hole has an object in it.
PICTURE = """
..........
.#######..
.#.....#..
.#.##..#.#
.#.....#..
.#######..
.##.####..
.#######..
..........
"""
# As OpenCV 4.8 and 5.0 find them: (column, row), RETR_CCOMP, CHAIN_APPROX_NONE.
CONTOURS = [
    [(9, 3)],
    [(3, 3), (4, 3)],
    [
        *((1, 1), (1, 2), (1, 3), (1, 4), (1, 5), (1, 6), (1, 7), (2, 7), (3, 7), (4, 7), (5, 7), (6, 7), (7, 7)),
        *((7, 6), (7, 5), (7, 4), (7, 3), (7, 2), (7, 1), (6, 1), (5, 1), (4, 1), (3, 1), (2, 1)),
    ],
    [(2, 6), (3, 5), (4, 6), (3, 7)],
    [
        *((1, 2), (2, 1), (3, 1), (4, 1), (5, 1), (6, 1), (7, 2), (7, 3), (7, 4), (6, 5), (5, 5), (4, 5)),
        *((3, 5), (2, 5), (1, 4), (1, 3)),
    ],
]


def picture() -> Bools:
    return np.array([[letter == "#" for letter in line] for line in PICTURE.split()])
