"""Corrections in training: each round the network sees its own last answer, and a click where that was most wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from sixpoint.errors import ModelSpecError
from sixpoint.maps import heatmap
from sixpoint.spec import ClickChannel, ModelSpec, PreviousChannel
from trainer.users import ErrorClick, largest_error

__all__ = ["Rounds"]

Rng = np.random.Generator

_IN_THE_MIDDLE = 0.6
"""How often a person clicks the middle of an error; otherwise somewhere in it."""
_RIM = 3
"""Cells round an error's box where a click counts: without them, changing too much there would cost nothing."""


@dataclass(frozen=True)
class Rounds:
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
    def of(cls, spec: ModelSpec) -> Rounds | None:
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

    def advance(
        self, rng: Rng | None, channels: torch.Tensor, target: torch.Tensor, logits: torch.Tensor
    ) -> torch.Tensor:
        """Write an answer and the clicks that correct it into the channels, in place.

        Args:
            rng: Decides where in an error people click; None: always in its middle.
            channels: What the network saw, [batch, channel, z, y, x].
            target: Share of each cell that the object fills, [batch, 1, z, y, x].
            logits: What the network answered, [batch, 1, z, y, x].

        Returns:
            Where the clicks ask for a change, [batch, 1, z, y, x]: the box of the error that each is in, and a rim.
        """
        channels[:, self.previous] = torch.sigmoid(logits.detach().float()[:, 0]).to(channels.dtype)
        answers = (logits.detach()[:, 0] > 0).numpy()
        truths = (target[:, 0] > 0.5).numpy()
        clicked = np.zeros(truths.shape, np.bool_)
        for index, (truth, answer) in enumerate(zip(truths, answers, strict=True)):
            anywhere = rng is not None and rng.random() > _IN_THE_MIDDLE
            if error := largest_error(truth, answer):
                rim = tuple(slice(max(0, part.start - _RIM), part.stop + _RIM) for part in error.box)
                clicked[index][rim] = True
                self._draw(error.click(rng=rng if anywhere else None), channels[index], shape=truth.shape)
        return torch.from_numpy(clicked[:, None])

    def _draw(self, click: ErrorClick, channels: torch.Tensor, *, shape: tuple[int, ...]) -> None:
        size = np.array(shape[::-1])
        point = 2.0 * (np.array(click.point) + 0.5) / size - 1.0
        drawn = torch.from_numpy(
            heatmap(point[None], shape=(shape[0], shape[1], shape[2]), sigma=self.sigmas[click.positive])
        )
        channel = channels[self.clicks[click.positive]]
        torch.maximum(channel, drawn.to(channel.dtype), out=channel)
