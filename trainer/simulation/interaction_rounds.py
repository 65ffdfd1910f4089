"""Corrections in training: each round the network sees its own last answer, and a click where that was most wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from sixpoint._typing import Bools, Rng
from sixpoint.errors import ModelSpecError
from sixpoint.model_spec import ClickChannel, ModelSpec, PreviousChannel
from sixpoint.preprocessing import HEAT_FLOOR, gaussian_factors
from trainer.simulation.simulated_user import ErrorClick, largest_error

__all__ = ["MIDDLE_CLICK_PROBABILITY", "Correction", "InteractionChannels", "correct_answer", "find_corrections"]


MIDDLE_CLICK_PROBABILITY = 0.6
"""How often a person clicks the middle of an error; otherwise somewhere in it."""
_BOX_MARGIN = 3
"""Cells round an error's box where a click counts: without them, changing too much there would cost nothing."""


@dataclass(frozen=True)
class InteractionChannels:
    """Where a spec's network sees clicks and the previous answer.

    Attributes:
        clicks: Index of the channel of negative clicks, and of positive ones.
        sigmas: Their standard deviations, as fractions of the ROI's edge.
        previous: Index of the channel of the previous answer.
    """

    clicks: tuple[int, int]
    sigmas: tuple[float, float]
    previous: int

    @classmethod
    def from_spec(cls, spec: ModelSpec) -> InteractionChannels | None:
        """The rounds that a spec allows; None when its network takes no clicks.

        Raises:
            ModelSpecError: When it has some of the three channels only.
        """
        found: dict[str, tuple[int, float]] = {}
        for index, channel in enumerate(spec.input.channels):
            if isinstance(channel, ClickChannel):
                found[channel.sign] = index, channel.sigma
            elif isinstance(channel, PreviousChannel):
                found["previous"] = index, 0.0
        if not found:
            return None
        if len(found) < 3:
            raise ModelSpecError(
                f"clicks need the channels positive, negative and previous; the spec has {', '.join(found)} only"
            )
        negative, positive, previous = (found[name] for name in ("negative", "positive", "previous"))
        return cls(clicks=(negative[0], positive[0]), sigmas=(negative[1], positive[1]), previous=previous[0])

    def write_corrections(
        self, channels: torch.Tensor, logits: torch.Tensor, corrections: Sequence[Correction | None]
    ) -> torch.Tensor:
        """Write an answer and the clicks that correct it into the channels, in place.

        Args:
            channels: What the network saw, [batch, channel, z, y, x].
            logits: What the network answered, [batch, 1, z, y, x].
            corrections: Of each sample; None where nothing is wrong.

        Returns:
            Where the clicks ask for a change, [batch, 1, z, y, x]: the box of the error that each is in, and a rim.
        """
        channels[:, self.previous] = torch.sigmoid(logits.float()[:, 0]).to(channels.dtype)
        clicked = torch.zeros_like(logits, dtype=torch.bool)
        made = [(index, one) for index, one in enumerate(corrections) if one is not None]
        for index, correction in made:
            (z, end_z), (y, end_y), (x, end_x) = correction.box
            clicked[index, 0, z:end_z, y:end_y, x:end_x] = True
        if made:
            self._draw([index for index, _ in made], [one.click for _, one in made], channels)
        return clicked

    def _draw(self, samples: list[int], clicks: list[ErrorClick], channels: torch.Tensor) -> None:
        """Multiply the channels by what ``preprocessing.guidance_maps.heatmap`` draws for each click."""
        z, y, x = channels.shape[2:]
        points = 2.0 * (np.array([click.point for click in clicks]) + 0.5) / (x, y, z) - 1.0
        signs = np.array([click.positive for click in clicks])
        factors = [np.empty((len(clicks), edge), np.float32) for edge in (z, y, x)]
        for sign in (False, True):
            drawn = gaussian_factors(points[signs == sign], shape=(z, y, x), sigma=self.sigmas[sign])
            for axis, some in zip(factors, drawn, strict=True):
                axis[signs == sign] = some
        along = [torch.from_numpy(axis).to(channels.device) for axis in factors]
        heat = along[0][:, :, None, None] * along[1][:, None, :, None] * along[2][:, None, None, :]
        heat[heat < HEAT_FLOOR] = 0.0
        places = torch.tensor(samples), torch.tensor([self.clicks[click.positive] for click in clicks])
        channels[places] = torch.maximum(channels[places], heat.to(channels.dtype))


@dataclass(frozen=True)
class Correction:
    """What a person does about an answer.

    Attributes:
        click: Where they click.
        box: (first, end) of the error's cells and a rim round them, half-open, along z, y and x.
    """

    click: ErrorClick
    box: tuple[tuple[int, int], ...]

    @classmethod
    def from_error(cls, click: ErrorClick, error: Sequence[tuple[int, int]], *, shape: Sequence[int]) -> Correction:
        """That of an error.

        Args:
            click: Where they click.
            error: (first, end) of its cells, half-open, along z, y and x.
            shape: Of the grid, [z, y, x].
        """
        box = tuple(
            (max(0, first - _BOX_MARGIN), min(cells, end + _BOX_MARGIN))
            for (first, end), cells in zip(error, shape, strict=True)
        )
        return cls(click=click, box=box)


def correct_answer(rng: Rng | None, truth: Bools, answer: Bools) -> Correction | None:
    """Where a person corrects an answer: in its largest error.

    Args:
        rng: Decides whether they click in the error's middle, and where else; None: in its middle.
        truth: The object, [z, y, x].
        answer: What the network answered, likewise.

    Returns:
        The correction; None when nothing is wrong.
    """
    error = largest_error(truth, answer)
    if error is None:
        return None
    anywhere = rng is not None and rng.random() > MIDDLE_CLICK_PROBABILITY
    ends = [(part.start, part.stop) for part in error.box]
    return Correction.from_error(error.click(rng=rng if anywhere else None), ends, shape=truth.shape)


def find_corrections(
    rng: Rng | None, target: torch.Tensor, logits: torch.Tensor
) -> Callable[[], list[Correction | None]]:
    """Look at a batch's answers, one after another.

    Args:
        rng: Decides where in an error people click; None: always in its middle.
        target: Share of each cell that the object fills, [batch, 1, z, y, x].
        logits: What the network answered, likewise.

    Returns:
        A function that makes the corrections, one for each sample.
    """
    truths, answers = (target[:, 0] > 0.5).cpu().numpy(), (logits[:, 0] > 0).cpu().numpy()
    return lambda: [correct_answer(rng, truth, answer) for truth, answer in zip(truths, answers, strict=True)]
