"""Name the tensors of a state dict that do not fit a network."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch

__all__ = ["describe_misfit", "first_few"]

_NAMED = 3


def describe_misfit(
    own: Mapping[str, torch.Tensor], given: Mapping[str, torch.Tensor], *, unknown: Collection[str] = ()
) -> str:
    """Describe what does not fit, by the names of the tensors; empty if everything fits.

    Args:
        own: State dict of the network.
        given: State dict to load.
        unknown: More names that the network does not have.
    """
    shapes = [
        f"{name} {list(given[name].shape)} (expected {list(own[name].shape)})"
        for name in own
        if name in given and given[name].shape != own[name].shape
    ]
    problems = {
        "missing": [name for name in own if name not in given],
        "unknown": [*(name for name in given if name not in own), *unknown],
        "of another shape": shapes,
    }
    return "; ".join(f"{problem}: {first_few(names)}" for problem, names in problems.items() if names)


def first_few(names: Collection[str]) -> str:
    """List the first names, and count the others."""
    listed = ", ".join(list(names)[:_NAMED])
    return listed + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
