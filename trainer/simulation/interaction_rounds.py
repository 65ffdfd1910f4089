"""Corrections in training: in each round the network sees its last answer and a click in the largest error of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from sixpoint._typing import Bools, Rng
from sixpoint.errors import ModelSpecError
from sixpoint.model_spec import ClickChannel, ModelSpec, PreviousChannel
from sixpoint.preprocessing import HEAT_FLOOR, gaussian_factors
from trainer.simulation.round_settings import draw_extra_clicks, read_extra_clicks
from trainer.simulation.simulated_user import ErrorClick, largest_error

__all__ = ["MIDDLE_CLICK_PROBABILITY", "Correction", "InteractionChannels", "correct_answer", "find_corrections"]


MIDDLE_CLICK_PROBABILITY = 0.6
"""Probability that a click is in the middle of an error. Other clicks are anywhere in it."""
_BOX_MARGIN = 3
"""Cells round an error's box that count in the loss of its click: without them, overshooting would cost nothing."""
_EXTRA_MARGIN = 6
"""Cells round a further click that count in its loss."""


@dataclass(frozen=True)
class InteractionChannels:
    """Channels in which a network sees clicks and the previous answer.

    Attributes:
        clicks: Indices of the channels of negative and of positive clicks.
        sigmas: Standard deviations of the clicks in these channels, as fractions of the ROI's edge.
        previous: Index of the channel of the previous answer.
    """

    clicks: tuple[int, int]
    sigmas: tuple[float, float]
    previous: int

    @classmethod
    def from_spec(cls, spec: ModelSpec) -> InteractionChannels | None:
        """Find the channels in a spec; None for a network without clicks.

        Raises:
            ModelSpecError: The spec has only some of the three channels.
        """
        channels: dict[str, tuple[int, float]] = {}
        for index, channel in enumerate(spec.input.channels):
            if isinstance(channel, ClickChannel):
                channels[channel.sign] = index, channel.sigma
            elif isinstance(channel, PreviousChannel):
                channels["previous"] = index, 0.0
        if not channels:
            return None
        if len(channels) < 3:
            raise ModelSpecError(
                f"the spec has the channels {', '.join(channels)} only: clicks need positive, negative and previous"
            )
        negative, positive, previous = (channels[name] for name in ("negative", "positive", "previous"))
        return cls(clicks=(negative[0], positive[0]), sigmas=(negative[1], positive[1]), previous=previous[0])

    def write_corrections(
        self, channels: torch.Tensor, logits: torch.Tensor, corrections: Sequence[Correction | None]
    ) -> torch.Tensor:
        """Write an answer and the clicks that correct it into the channels, in place.

        Args:
            channels: Network input, [batch, channel, z, y, x].
            logits: Answer of the network, [batch, 1, z, y, x].
            corrections: Correction of each sample; None where nothing is wrong.

        Returns:
            Region of the clicks, bool [batch, 1, z, y, x]: the box of each clicked error, with a margin, and the
            neighbourhood of each further click.
        """
        channels[:, self.previous] = torch.sigmoid(logits.float()[:, 0]).to(channels.dtype)
        region = torch.zeros_like(logits, dtype=torch.bool)
        clicked = [(index, correction) for index, correction in enumerate(corrections) if correction is not None]
        for index, correction in clicked:
            for (z, end_z), (y, end_y), (x, end_x) in (correction.box, *correction.extra_boxes(logits.shape[2:])):
                region[index, 0, z:end_z, y:end_y, x:end_x] = True
        # A round for each click of an answer: two of one answer cannot be written at once.
        for number in range(1 + max((len(correction.extra) for _, correction in clicked), default=-1)):
            drawn = [
                (index, (correction.click, *correction.extra)[number : number + 1]) for index, correction in clicked
            ]
            self._draw_clicks([index for index, one in drawn if one], [one[0] for _, one in drawn if one], channels)
        return region

    def _draw_clicks(self, samples: list[int], clicks: list[ErrorClick], channels: torch.Tensor) -> None:
        """Draw clicks into the channels of a batch, as ``sixpoint.preprocessing.guidance_maps.heatmap`` does."""
        z, y, x = channels.shape[2:]
        points = 2.0 * (np.array([click.point for click in clicks]) + 0.5) / (x, y, z) - 1.0
        signs = np.array([click.positive for click in clicks])
        factors = [np.empty((len(clicks), edge), np.float32) for edge in (z, y, x)]
        for sign in (False, True):
            drawn = gaussian_factors(points[signs == sign], shape=(z, y, x), sigma=self.sigmas[sign])
            for axis, values in zip(factors, drawn, strict=True):
                axis[signs == sign] = values
        along = [torch.from_numpy(axis).to(channels.device) for axis in factors]
        heat = along[0][:, :, None, None] * along[1][:, None, :, None] * along[2][:, None, None, :]
        heat[heat < HEAT_FLOOR] = 0.0
        places = torch.tensor(samples), torch.tensor([self.clicks[click.positive] for click in clicks])
        channels[places] = torch.maximum(channels[places], heat.to(channels.dtype))


@dataclass(frozen=True)
class Correction:
    """A correction of an answer.

    Attributes:
        click: Correcting click.
        box: Half-open range (first, end) of cells along z, y and x: the box of the error, with a margin.
        extra: Further clicks of the same round, anywhere in the errors.
    """

    click: ErrorClick
    box: tuple[tuple[int, int], ...]
    extra: tuple[ErrorClick, ...] = ()

    def extra_boxes(self, shape: Sequence[int]) -> list[tuple[tuple[int, int], ...]]:
        """Return the neighbourhoods of the further clicks in a grid of a shape [z, y, x], in the form of ``box``."""
        return [
            tuple(
                (max(0, at - _EXTRA_MARGIN), min(cells, at + _EXTRA_MARGIN + 1))
                for at, cells in zip(click.point[::-1], shape, strict=True)
            )
            for click in self.extra
        ]

    @classmethod
    def from_error(cls, click: ErrorClick, error: Sequence[tuple[int, int]], *, shape: Sequence[int]) -> Correction:
        """Make the correction of an error.

        Args:
            click: Correcting click.
            error: Half-open range (first, end) of the error's cells along z, y and x.
            shape: Shape of the grid, [z, y, x].
        """
        box = tuple(
            (max(0, first - _BOX_MARGIN), min(cells, end + _BOX_MARGIN))
            for (first, end), cells in zip(error, shape, strict=True)
        )
        return cls(click=click, box=box)


def correct_answer(rng: Rng | None, truth: Bools, answer: Bools) -> Correction | None:
    """Correct an answer in its largest error.

    Args:
        rng: Generator that decides where in the error to click; None: in its middle.
        truth: True mask, [z, y, x].
        answer: Mask to correct, [z, y, x].

    Returns:
        Correction; None if nothing is wrong.
    """
    error = largest_error(truth, answer)
    if error is None:
        return None
    anywhere = rng is not None and rng.random() > MIDDLE_CLICK_PROBABILITY
    ends = [(part.start, part.stop) for part in error.box]
    return Correction.from_error(error.click(rng=rng if anywhere else None), ends, shape=truth.shape)


def find_corrections(
    rng: Rng | None, target: torch.Tensor, logits: torch.Tensor, *, extra_clicks: int = 0
) -> Callable[[], list[Correction | None]]:
    """Correct the answers of a batch, one after another.

    Args:
        rng: Generator that decides where in an error to click; None: always in its middle.
        target: Fraction of each cell that the object fills, [batch, 1, z, y, x].
        logits: Answers of the network, [batch, 1, z, y, x].
        extra_clicks: Maximum number of further clicks in each answer, which ``rng`` draws.

    Returns:
        Function that computes the correction of each sample; None where nothing is wrong.
    """
    truths, answers = (target[:, 0] > 0.5).cpu().numpy(), (logits[:, 0] > 0).cpu().numpy()
    extra: list[tuple[ErrorClick, ...]] = [()] * len(truths)
    if rng is not None and extra_clicks:
        extra = read_extra_clicks(*draw_extra_clicks(rng, target, logits, most=extra_clicks), target.shape)

    def compute() -> list[Correction | None]:
        corrections = [correct_answer(rng, truth, answer) for truth, answer in zip(truths, answers, strict=True)]
        return [one and replace(one, extra=more) for one, more in zip(corrections, extra, strict=True)]

    return compute
