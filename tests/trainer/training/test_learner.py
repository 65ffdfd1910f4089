"""The loss of what a click spoils."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from trainer.training.learner import Learner, overshoot_loss


def test_only_what_was_right_and_is_wrong_costs() -> None:
    target = torch.zeros(2, 1, 8, 8, 8)
    target[:, :, :4] = 1  # 256 cells of each
    right = torch.where(target > 0, 2.0, -2.0)
    assert overshoot_loss(right, target, right).item() == 0
    now = right.clone()
    now[0, 0, :, 0, 0] = -now[0, 0, :, 0, 0]  # four of the object are lost, four are added
    cost = math.log1p(math.exp(2.0))
    assert overshoot_loss(now, target, right).item() == pytest.approx(8 * cost / 256 / 2, rel=1e-4)
    # What was wrong before, and still is, costs nothing here.
    assert overshoot_loss(now, target, now).item() == 0


def test_it_is_part_of_the_loss_where_it_has_a_weight() -> None:
    losses = []
    for weight, previous in ((0.0, True), (2.0, True), (2.0, False)):
        torch.manual_seed(0)
        learner = Learner.create(
            nn.Conv3d(1, 1, 1), device=torch.device("cpu"), bfloat16=False, compiled=False, identity={}
        )
        target = (torch.rand(1, 1, 8, 8, 8) > 0.5).float()
        _, loss = learner.train_step(
            torch.rand(1, 1, 8, 8, 8),
            target,
            None,
            learning_rate=0.0,
            previous=target - 0.5 if previous else None,
            overshoot_weight=weight,
        )
        losses.append(float(loss))
    assert losses[1] > losses[0] + 0.1
    assert losses[2] == pytest.approx(losses[0])
