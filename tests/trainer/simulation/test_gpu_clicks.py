"""People who look at a whole batch at once click where those do who look at one answer after another."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trainer.simulation import gpu_clicks, interaction_rounds

EDGE = 24


def answers() -> tuple[torch.Tensor, torch.Tensor]:
    """A batch whose answers miss a ball, add a box that reaches the border, and are right."""
    z, y, x = torch.meshgrid(*[torch.arange(EDGE)] * 3, indexing="ij")
    ball = ((z - 9) ** 2 + (y - 8) ** 2 + (x - 14) ** 2 <= 25).float()
    target = torch.stack([ball, torch.zeros_like(ball), ball])[:, None]
    given = torch.stack([torch.zeros_like(ball), ((z < 5) & (y > 10) & (y < 18) & (x < 9)).float(), ball])[:, None]
    return target, given - 0.5


def test_alone_in_an_answer_an_error_is_found_whole() -> None:
    target, logits = answers()
    for seed in range(5):
        there = gpu_clicks.find_corrections(np.random.default_rng(seed), target, logits)()
        here = interaction_rounds.find_corrections(None, target, logits)()
        assert [one is None for one in there] == [False, False, True]
        for one, other, truth, logit in zip(there[:2], here[:2], target[:, 0], logits[:, 0], strict=False):
            assert one is not None
            assert other is not None
            assert one.box == other.box
            assert one.click.positive == other.click.positive
            x, y, z = one.click.point
            assert (truth[z, y, x] > 0.5) != (logit[z, y, x] > 0)


@pytest.mark.slow
def test_most_people_click_the_middle() -> None:
    target, logits = answers()
    clicks = [gpu_clicks.find_corrections(np.random.default_rng(seed), target, logits)()[0] for seed in range(60)]
    middle = [one for one in clicks if one is not None and np.allclose(one.click.point, (14, 8, 9), atol=1)]
    assert 0.4 < len(middle) / len(clicks) < 0.85


def test_thick_errors_come_before_thin_ones_and_large_before_small() -> None:
    target = torch.zeros(1, 1, EDGE, EDGE, EDGE)
    logits = torch.full_like(target, -1.0)
    target[0, 0, 1, 1:23, 1:23] = 1
    target[0, 0, 4:9, 4:9, 4:9] = 1
    target[0, 0, 12:20, 12:20, 12:20] = 1
    boxes = [gpu_clicks.find_corrections(np.random.default_rng(seed), target, logits)()[0] for seed in range(40)]
    found = [one.box[0] for one in boxes if one is not None]
    assert (1, 12) in found
    assert found.count((9, 23)) > 26
    assert found.count((9, 23)) + found.count((1, 12)) == 40


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_finds_the_same_errors() -> None:
    target, logits = answers()
    there = gpu_clicks.find_corrections(np.random.default_rng(0), target.cuda(), logits.cuda())()
    here = gpu_clicks.find_corrections(np.random.default_rng(0), target, logits)()
    assert [one and (one.box, one.click.positive) for one in there] == [
        one and (one.box, one.click.positive) for one in here
    ]
