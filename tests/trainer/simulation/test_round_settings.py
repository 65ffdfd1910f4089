"""Rounds whose previous answer is partly right, and rounds with several clicks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import trainer
from trainer.data.spec_files import read_spec
from trainer.simulation import gpu_clicks, interaction_rounds
from trainer.simulation.interaction_rounds import InteractionChannels
from trainer.simulation.round_settings import RoundSettings, correct_partly

EDGE = 24


def answers(batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch whose answers miss a shell of a box, and add a corner."""
    target = torch.zeros(batch, 1, EDGE, EDGE, EDGE)
    target[:, :, 6:18, 6:18, 6:18] = 1
    logits = torch.full_like(target, -3.0)
    logits[:, :, 8:16, 8:16, 8:16] = 3.0
    logits[:, :, 20:23, 20:23, 20:23] = 3.0
    return target, logits


def wrong(target: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    return (target > 0.5) != (logits > 0)


def test_answers_are_made_right_in_part_or_whole_and_never_worse() -> None:
    target, logits = answers(80)
    before = wrong(target, logits)
    changed = correct_partly(np.random.default_rng(0), target, logits, fraction=1.0)
    after = wrong(target, changed)
    assert not (after & ~before).any()
    left = after.flatten(1).sum(1) / before.flatten(1).sum(1)
    assert 0.1 < (left == 0).float().mean() < 0.5, "about a quarter are wholly right"
    assert ((left > 0) & (left < 1)).sum() > 30
    # Where errors stay, so does the answer.
    assert torch.equal(changed[after], logits[after])


def test_only_the_wanted_fraction_is_replaced() -> None:
    target, logits = answers(60)
    assert correct_partly(np.random.default_rng(1), target, logits, fraction=0.0) is logits
    changed = correct_partly(np.random.default_rng(1), target, logits, fraction=0.5)
    replaced = (changed != logits).flatten(1).any(1).float().mean()
    assert 0.3 < replaced < 0.7


@pytest.mark.parametrize("module", [interaction_rounds, gpu_clicks], ids=["one by one", "whole batch"])
def test_further_clicks_lie_on_errors_and_have_their_sign(module: object) -> None:
    target, logits = answers(6)
    target[5], logits[5] = 0, -3.0  # nothing is wrong here
    find = module.find_corrections  # type: ignore[attr-defined]
    corrections = find(np.random.default_rng(0), target, logits, extra_clicks=4)()
    assert corrections[5] is None
    clicks = [click for one in corrections[:5] for click in one.extra]
    assert {len(one.extra) for one in corrections[:5]} > {0} or len(clicks) > 5
    assert all(len(one.extra) <= 4 for one in corrections[:5])
    for one, truth, answer in zip(corrections[:5], target[:, 0], logits[:, 0], strict=False):
        for click in one.extra:
            x, y, z = click.point
            assert (truth[z, y, x] > 0.5) == click.positive
            assert (answer[z, y, x] > 0) != click.positive
    assert not any(one.extra for one in find(np.random.default_rng(0), target, logits)()[:5])


def test_all_clicks_of_a_round_are_drawn_and_their_surroundings_count() -> None:
    spec = read_spec(Path(trainer.__file__).with_name("annotation.yaml"))
    channels_of = InteractionChannels.from_spec(spec)
    assert channels_of is not None
    target, logits = answers(4)
    corrections = interaction_rounds.find_corrections(np.random.default_rng(3), target, logits, extra_clicks=4)()
    channels = torch.zeros(4, len(spec.input.channels), EDGE, EDGE, EDGE)
    region = channels_of.write_corrections(channels, logits, corrections)
    assert sum(len(one.extra) for one in corrections if one) > 3
    for index, one in enumerate(corrections):
        assert one is not None
        for click in (one.click, *one.extra):
            x, y, z = click.point
            assert channels[index, channels_of.clicks[click.positive], z, y, x] == pytest.approx(1.0)
            assert region[index, 0, z, y, x]


def test_settings_say_what_they_change() -> None:
    assert RoundSettings().changes() == {}
    assert RoundSettings(extra_clicks=2, overshoot_weight=0.0).changes() == {"extra_clicks": 2}
