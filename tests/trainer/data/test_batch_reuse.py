"""Batches come back as often as asked, turned, and what was written into them does not."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import torch

from trainer.data.batch_reuse import reuse_batches


def batches() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    for number in range(1, 100):
        channels = torch.full((2, 3, 4, 4, 4), float(number))
        channels[:, 0, 1, 2, 3] = -1.0
        yield channels, channels[:, :1] / 2


def test_each_batch_is_followed_by_earlier_ones_turned() -> None:
    stream = reuse_batches(batches(), device=torch.device("cpu"), uses=3, rng=np.random.default_rng(0))
    seen = []
    places = set()
    for channels, target in islice(stream, 30):
        assert torch.equal(target, channels[:, :1] / 2)
        places.add(tuple((channels[0, 0] == -1).nonzero()[0].tolist()))
        seen.append(int(channels[0, 1, 0, 0, 0]))
        channels.fill_(1000.0)
        target.fill_(1000.0)
    assert seen[::3] == list(range(1, 11))
    assert all(now <= fresh for fresh, *later in zip(seen[::3], seen[1::3], seen[2::3], strict=True) for now in later)
    assert len(places) > 10


def test_by_itself_a_batch_comes_once_as_it_is() -> None:
    stream = reuse_batches(batches(), device=torch.device("cpu"), uses=1, rng=np.random.default_rng(0))
    assert [int(channels[0, 1, 0, 0, 0]) for channels, _ in islice(stream, 5)] == [1, 2, 3, 4, 5]
