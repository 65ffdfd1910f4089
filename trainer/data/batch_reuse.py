"""Batches that come back turned: making samples takes longer than learning from them, beside a GPU."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from sixpoint._typing import Rng
from trainer.data.dataloader import Batch

__all__ = ["reuse_batches"]

_REUSE_BYTES = 4 << 30
"""Of samples that may come back, on the device."""


def reuse_batches(stream: Iterator[Batch], *, device: torch.device, uses: int, rng: Rng) -> Iterator[Batch]:
    """The stream's batches on a device, each followed by ``uses`` - 1 earlier ones, their axes permuted and mirrored.

    Every channel is a map of the ROI's cube, so a turned sample is what serving would have made of a turned image.

    Args:
        stream: Batches without end.
        device: Where they are used; callers may write into them.
        uses: How often each comes, on average; at least 1.
        rng: Decides which come back, and how.
    """
    shelf: list[Batch] = []
    size = 0
    for fresh in stream:
        channels, target = (part.to(device, non_blocking=True) for part in fresh)
        if uses > 1:
            size += channels.nbytes + target.nbytes
            shelf.append((channels, target))
            while size > _REUSE_BYTES and len(shelf) > 1:
                size -= sum(part.nbytes for part in shelf.pop(int(rng.integers(len(shelf)))))
            channels, target = channels.clone(), target.clone()
        yield channels, target
        for _ in range(uses - 1):
            yield _permute_and_flip(rng, shelf[int(rng.integers(len(shelf)))])


def _permute_and_flip(rng: Rng, batch: Batch) -> Batch:
    order = (0, 1, *(2 + rng.permutation(3)).tolist())
    mirrored = [axis for axis in (2, 3, 4) if rng.random() < 0.5]
    channels, target = (part.permute(order).flip(mirrored).contiguous() for part in batch)
    return channels, target
