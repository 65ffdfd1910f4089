"""Use batches more than once, permuted and mirrored: on a GPU, training is faster than making samples."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from sixpoint._typing import Rng
from trainer.data.dataloader import Batch

__all__ = ["reuse_batches"]

_REUSE_BYTES = 4 << 30
"""Maximum size of the batches kept for reuse, on the device."""


def reuse_batches(stream: Iterator[Batch], *, device: torch.device, uses: int, rng: Rng) -> Iterator[Batch]:
    """Move a stream's batches to a device, and follow each by ``uses`` - 1 earlier ones, permuted and mirrored.

    Every channel is a map of the ROI's cube, so a permuted sample is what serving would compute for a permuted image.

    Args:
        stream: Endless batches.
        device: Device to move them to. Callers may write into the yielded batches.
        uses: Average number of times that each batch is yielded; at least 1.
        rng: Generator that decides which batches come again, and how.
    """
    reusable: list[Batch] = []
    size = 0
    for fresh in stream:
        channels, target = (part.to(device, non_blocking=True) for part in fresh)
        if uses > 1:
            size += channels.nbytes + target.nbytes
            reusable.append((channels, target))
            while size > _REUSE_BYTES and len(reusable) > 1:
                size -= sum(part.nbytes for part in reusable.pop(int(rng.integers(len(reusable)))))
            channels, target = channels.clone(), target.clone()
        yield channels, target
        for _ in range(uses - 1):
            yield _permute_and_flip(rng, reusable[int(rng.integers(len(reusable)))])


def _permute_and_flip(rng: Rng, batch: Batch) -> Batch:
    order = (0, 1, *(2 + rng.permutation(3)).tolist())
    mirrored = [axis for axis in (2, 3, 4) if rng.random() < 0.5]
    channels, target = (part.permute(order).flip(mirrored).contiguous() for part in batch)
    return channels, target
