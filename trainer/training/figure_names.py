"""Names of the figures that a run measures of each label."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

__all__ = ["figure_names"]


def figure_names(labels: Sequence[str], *, taken: Collection[str] = ()) -> list[str]:
    """Name the Dice figure of each label, in any script: ``dice_left_lung``, with its number if the name is taken.

    Args:
        labels: Names of the labels.
        taken: Names of other figures. ``dice`` itself, the mean over the labels, always is one.
    """
    names: list[str] = []
    for number, label in enumerate(labels, start=1):
        name = "_".join(["dice", *re.findall(r"[^\W_]+", label.lower())])
        while name in {"dice", *taken, *names}:
            name += f"_{number}"
        names.append(name)
    return names
