"""How the rounds of a training differ from a plain one: previous answers that are partly right, and several clicks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sixpoint._typing import Rng
from trainer.simulation.simulated_user import ErrorClick

__all__ = ["RoundSettings", "correct_partly", "draw_extra_clicks", "read_extra_clicks"]

_MAX_RADIUS = 0.4
"""Largest radius, in edges of the ROI, of the ball in which errors stay, or outside which they do."""
_INVERSE_PROBABILITY = 0.35
"""Probability that errors stay outside the ball, not inside it."""
_UNTOUCHED_PROBABILITY = 0.25
"""Probability that no error stays at all: the right answer is to change nothing."""
_CERTAINTY = 0.99
"""Probability of cells that a corrected answer is sure of."""


@dataclass(frozen=True, kw_only=True)
class RoundSettings:
    """Settings of the rounds in which a network corrects its own answer. The defaults are those of version 5.

    Attributes:
        overshoot_weight: Weight in the loss of cells that were right before a click and are wrong after it, over the
            whole ROI.
        corrected_fraction: Fraction of the rounds' previous answers that are replaced by answers that are right in
            part of the ROI, or all of it.
        extra_clicks: Maximum number of further clicks in a round, anywhere in the errors. Most errors are thin, so most
            of these clicks lie in thin shells and near the object's border.
    """

    overshoot_weight: float = 0.0
    corrected_fraction: float = 0.0
    extra_clicks: int = 0

    def changes(self) -> dict[str, Any]:
        """Return what differs from the defaults, by name: part of a run's identity."""
        plain = RoundSettings()
        return {name: value for name, value in vars(self).items() if value != getattr(plain, name)}


def correct_partly(rng: Rng, target: torch.Tensor, logits: torch.Tensor, *, fraction: float) -> torch.Tensor:
    """Replace some answers of a batch by answers that are right in part of the ROI.

    Errors stay inside a ball round a wrong cell, or outside it, or nowhere.

    Args:
        rng: Generator that decides which answers to replace, and where they are right.
        target: Fraction of each cell that the object fills, [batch, 1, z, y, x].
        logits: Answers of the network, [batch, 1, z, y, x].
        fraction: Fraction of the answers to replace.

    Returns:
        Answers, [batch, 1, z, y, x]; ``logits`` itself if none is replaced.
    """
    chosen = np.flatnonzero(rng.random(len(target)) < fraction)
    if not len(chosen):
        return logits
    result = logits.clone()
    right = torch.logit(target.clamp(1 - _CERTAINTY, _CERTAINTY))
    axes = [torch.arange(n, device=target.device, dtype=torch.float32) for n in target.shape[2:]]
    for index in chosen.tolist():
        kind, radius = rng.random(), float(rng.uniform(0.05, _MAX_RADIUS)) * target.shape[-1]
        if kind < _UNTOUCHED_PROBABILITY:
            result[index] = right[index]
            continue
        wrong = (target[index, 0] > 0.5) != (logits[index, 0] > 0)
        noise = torch.rand(wrong.shape, generator=_generator(rng, target.device), device=target.device)
        # Stays on the device: the centre is never read by Python.
        place = torch.unravel_index((noise * wrong).flatten().argmax(), wrong.shape)
        z, y, x = (torch.square(axis - at) for axis, at in zip(axes, place, strict=True))
        stays = z[:, None, None] + y[:, None] + x <= radius**2
        if kind > 1 - _INVERSE_PROBABILITY:
            stays = ~stays
        result[index, 0] = torch.where(stays, logits[index, 0], right[index, 0])
    return result


def draw_extra_clicks(
    rng: Rng, target: torch.Tensor, logits: torch.Tensor, *, most: int
) -> tuple[torch.Tensor, list[int]]:
    """Draw further clicks for each answer of a batch, on its own device: at most ``most``, anywhere in the errors.

    Args:
        rng: Generator that draws the clicks, and how many each answer gets.
        target: Fraction of each cell that the object fills, [batch, 1, z, y, x].
        logits: Answers of the network, [batch, 1, z, y, x].
        most: Maximum number of clicks.

    Returns:
        Rows [batch, most, 2] of the flat index of each clicked cell, -1 for none, and whether the object has it; and
        how many of them each answer gets.
    """
    whole = target[:, 0] > 0.5
    wrong = (whole != (logits[:, 0] > 0)).flatten(1)
    noise = torch.rand(wrong.shape, generator=_generator(rng, target.device), device=target.device)
    values, places = ((noise + 1e-6) * wrong).topk(most, dim=1)
    positive = whole.flatten(1).gather(1, places)
    rows = torch.stack([torch.where(values > 0, places, -1), positive.to(torch.int64)], dim=-1)
    return rows, rng.integers(0, most + 1, len(target)).tolist()


def read_extra_clicks(rows: torch.Tensor, counts: list[int], shape: torch.Size) -> list[tuple[ErrorClick, ...]]:
    """Read the rows of :func:`draw_extra_clicks` as clicks of each answer.

    Args:
        rows: Rows, on any device.
        counts: How many clicks each answer gets.
        shape: Shape of the answers, [batch, 1, z, y, x].
    """
    clicks = []
    for row, count in zip(rows.tolist(), counts, strict=True):
        drawn = []
        for flat, positive in row[:count]:
            if flat >= 0:
                z, y, x = (int(at) for at in np.unravel_index(flat, shape[2:]))
                drawn.append(ErrorClick(point=(x, y, z), positive=bool(positive)))
        clicks.append(tuple(drawn))
    return clicks


def _generator(rng: Rng, device: torch.device) -> torch.Generator:
    return torch.Generator(device).manual_seed(int(rng.integers(2**62)))
