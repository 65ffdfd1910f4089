"""Simulated people who look at answers where the network computes: a whole batch at once, without waiting for it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from sixpoint._typing import Rng
from trainer.simulation.interaction_rounds import MIDDLE_CLICK_PROBABILITY, Correction
from trainer.simulation.simulated_user import ErrorClick

__all__ = ["find_corrections"]


_FLOOD_STEPS = 20
"""Steps, 26-connected, from the first cell of an error to the last that belongs to it."""
_MAX_DEPTH = 10
"""Cells from an error's border to its middle, at most."""


def find_corrections(rng: Rng, target: torch.Tensor, logits: torch.Tensor) -> Callable[[], list[Correction | None]]:
    """Begin to look at a batch's answers, on their own device.

    What :func:`trainer.simulation.interaction_rounds.correct_answer` does by components and Euclidean distances, in a fixed
    number of steps of 3 x 3 x 3 cells: an error is drawn, thick ones first, the larger the likelier; it reaches as far
    as a flood of some steps within it; its middle is farthest from its border by the chessboard distance.

    Args:
        rng: Decides which error, and where in it people click.
        target: Share of each cell that the object fills, [batch, 1, z, y, x].
        logits: What the network answered, likewise.

    Returns:
        A function that waits for the corrections, one for each sample; None where nothing is wrong.
    """
    chance = torch.Generator(target.device).manual_seed(int(rng.integers(2**62)))
    found = _corrections(target, logits, chance)
    ready = None
    if found.is_cuda:
        found, ready = found.to("cpu", non_blocking=True), torch.cuda.Event()  # type: ignore[no-untyped-call]
        ready.record()

    def wait() -> list[Correction | None]:
        if ready is not None:
            ready.synchronize()
        return _read(found, target.shape)

    return wait


def _corrections(target: torch.Tensor, logits: torch.Tensor, chance: torch.Generator) -> torch.Tensor:
    """Is there an error, is it missed, the click's cell, its first cell and its end along z, y and x: [batch, 9]."""
    batch, _, *shape = target.shape
    whole, given = target > 0.5, logits > 0
    missed, extra = whole & ~given, given & ~whole
    wrong = missed | extra
    noise = torch.rand(wrong.shape, generator=chance, device=wrong.device)
    thick = _erode(missed) | _erode(extra)
    seed = ((noise + thick) * wrong).flatten(1).argmax(1, keepdim=True)
    is_missed = missed.flatten(1).gather(1, seed)
    within = torch.where(is_missed.view(batch, 1, 1, 1, 1), missed, extra)
    piece = torch.zeros_like(wrong).flatten(1).scatter(1, seed, value=True).view_as(wrong) & within
    for _ in range(_FLOOD_STEPS):
        piece = _dilate(piece) & within
    depth, core = piece.to(torch.float32), piece
    for _ in range(_MAX_DEPTH):
        core = _erode(core)
        depth += core
    middle = ((depth + noise) * piece).flatten(1).argmax(1, keepdim=True)
    anywhere = (noise * piece).flatten(1).argmax(1, keepdim=True)
    careful = torch.rand(middle.shape, generator=chance, device=wrong.device) < MIDDLE_CLICK_PROBABILITY
    columns = [wrong.flatten(1).any(1, keepdim=True), is_missed, torch.where(careful, middle, anywhere)]
    for axis, cells in enumerate(shape):
        others = tuple(2 + other for other in range(3) if other != axis)
        line = piece.amax(dim=others).view(batch, cells).to(torch.uint8)
        columns += [line.argmax(1, keepdim=True), cells - line.flip(1).argmax(1, keepdim=True)]
    return torch.cat([column.to(torch.int64) for column in columns], dim=1)


def _read(found: torch.Tensor, shape: torch.Size) -> list[Correction | None]:
    edges = shape[2:]
    corrections: list[Correction | None] = []
    for wrong, missed, flat, *ends in found.tolist():
        if not wrong:
            corrections.append(None)
            continue
        z, y, x = (int(at) for at in np.unravel_index(flat, edges))
        click = ErrorClick(point=(x, y, z), positive=bool(missed))
        corrections.append(Correction.from_error(click, list(zip(ends[::2], ends[1::2], strict=True)), shape=edges))
    return corrections


def _dilate(mask: torch.Tensor) -> torch.Tensor:
    """A mask [batch, 1, z, y, x] and the cells that touch it by a face, an edge or a corner."""
    for axis in (2, 3, 4):
        inner = mask.shape[axis] - 1
        wider = mask.clone()
        wider.narrow(axis, 1, inner).logical_or_(mask.narrow(axis, 0, inner))
        wider.narrow(axis, 0, inner).logical_or_(mask.narrow(axis, 1, inner))
        mask = wider
    return mask


def _erode(mask: torch.Tensor) -> torch.Tensor:
    """A mask without the cells that touch others; what lies beyond the grid is others."""
    padded = nn.functional.pad(mask, (1,) * 6)
    return ~_dilate(~padded)[:, :, 1:-1, 1:-1, 1:-1]
