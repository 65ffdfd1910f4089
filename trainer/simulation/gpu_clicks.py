"""Simulated clicks computed on the GPU, for a whole batch at once and without waiting for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from sixpoint._typing import Rng
from trainer.simulation.interaction_rounds import MIDDLE_CLICK_PROBABILITY, Correction
from trainer.simulation.round_settings import draw_extra_clicks, read_extra_clicks
from trainer.simulation.simulated_user import ErrorClick

__all__ = ["find_corrections"]


_FLOOD_STEPS = 20
"""Number of 26-connected steps by which an error grows from its first cell."""
_COLUMNS = 9
"""Columns of a correction, without its further clicks."""
_MAX_DEPTH = 10
"""Maximum number of cells from an error's border to its middle."""


def find_corrections(
    rng: Rng, target: torch.Tensor, logits: torch.Tensor, *, extra_clicks: int = 0
) -> Callable[[], list[Correction | None]]:
    """Start to correct the answers of a batch, on their own device.

    Approximates :func:`trainer.simulation.interaction_rounds.correct_answer` in a fixed number of 3 x 3 x 3 steps. The
    error is drawn at random, thick and large ones with higher probability, and grows from one cell by a limited number
    of steps. Its middle is farthest from its border by the chessboard distance.

    Args:
        rng: Generator that decides which error to click, and where in it.
        target: Fraction of each cell that the object fills, [batch, 1, z, y, x].
        logits: Answers of the network, [batch, 1, z, y, x].
        extra_clicks: Maximum number of further clicks in each answer.

    Returns:
        Function that waits for the correction of each sample; None where nothing is wrong.
    """
    chance = torch.Generator(target.device).manual_seed(int(rng.integers(2**62)))
    rows = _corrections(target, logits, chance)
    counts = [0] * len(target)
    if extra_clicks:
        extra, counts = draw_extra_clicks(rng, target, logits, most=extra_clicks)
        rows = torch.cat([rows, extra.flatten(1)], dim=1)
    ready = None
    if rows.is_cuda:
        rows, ready = rows.to("cpu", non_blocking=True), torch.cuda.Event()  # type: ignore[no-untyped-call]
        ready.record()

    def wait() -> list[Correction | None]:
        if ready is not None:
            ready.synchronize()
        corrections = _read_corrections(rows[:, :_COLUMNS], target.shape)
        further = read_extra_clicks(rows[:, _COLUMNS:].view(len(rows), -1, 2), counts, target.shape)
        return [one and replace(one, extra=more) for one, more in zip(corrections, further, strict=True)]

    return wait


def _corrections(target: torch.Tensor, logits: torch.Tensor, chance: torch.Generator) -> torch.Tensor:
    """Compute a row for each sample, [batch, 9]: error or not, missed or extra, cell of the click, box of the error."""
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


def _read_corrections(rows: torch.Tensor, shape: torch.Size) -> list[Correction | None]:
    edges = shape[2:]
    corrections: list[Correction | None] = []
    for wrong, missed, flat, *ends in rows.tolist():
        if not wrong:
            corrections.append(None)
            continue
        z, y, x = (int(at) for at in np.unravel_index(flat, edges))
        click = ErrorClick(point=(x, y, z), positive=bool(missed))
        corrections.append(Correction.from_error(click, list(zip(ends[::2], ends[1::2], strict=True)), shape=edges))
    return corrections


def _dilate(mask: torch.Tensor) -> torch.Tensor:
    """Add to a mask [batch, 1, z, y, x] the cells that touch it by a face, an edge or a corner."""
    for axis in (2, 3, 4):
        inner = mask.shape[axis] - 1
        wider = mask.clone()
        wider.narrow(axis, 1, inner).logical_or_(mask.narrow(axis, 0, inner))
        wider.narrow(axis, 0, inner).logical_or_(mask.narrow(axis, 1, inner))
        mask = wider
    return mask


def _erode(mask: torch.Tensor) -> torch.Tensor:
    """Remove from a mask the cells that touch its outside. Beyond the grid is outside."""
    padded = nn.functional.pad(mask, (1,) * 6)
    return ~_dilate(~padded)[:, :, 1:-1, 1:-1, 1:-1]
