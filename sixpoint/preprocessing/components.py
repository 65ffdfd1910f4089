"""Connected components of a mask on the network's grid, and what to do with each of them."""

from __future__ import annotations

import numpy as np

from sixpoint._typing import Bools, Counts, Ints
from sixpoint.preprocessing.kernels import connected_components

__all__ = ["connected_components", "select_by_label"]


def select_by_label(selected: Counts, others: Counts, *, labels: Ints, table: Bools) -> Counts:
    """Take ``selected`` where the table is true for a cell's label, and ``others`` elsewhere.

    NumPy takes 0.45 ms for a grid of 64 x 64 x 64 cells; a loop in C took 0.3 ms.

    Args:
        selected: Probabilities in 255ths, any shape.
        others: Probabilities of the same shape.
        labels: Label of each cell, of the same shape, 0 up to the length of ``table``.
        table: Whether each label is selected, [label].

    Raises:
        ValueError: The shapes differ, or a label is not in the table.
    """
    if not selected.shape == others.shape == labels.shape:
        raise ValueError(f"expected arrays of one shape, got {selected.shape}, {others.shape} and {labels.shape}")
    if labels.size and not 0 <= labels.min() <= labels.max() < len(table):
        raise ValueError(f"labels {labels.min()} to {labels.max()} exceed the table of {len(table)}")
    chosen = np.empty(labels.shape, np.bool_)
    # Checked above: with mode="raise" NumPy buffers the output in case of an error, which takes as long again.
    np.take(table, labels, out=chosen, mode="clip")
    result = others.copy()
    np.copyto(result, selected, where=chosen)
    return result
