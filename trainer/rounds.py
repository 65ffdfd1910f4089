"""Corrections in training: each round the network sees its own last answer, and a click where that was most wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from sixpoint.errors import ModelSpecError
from sixpoint.maps import LEAST_HEAT, heat_factors
from sixpoint.spec import ClickChannel, ModelSpec, PreviousChannel
from trainer.feeding import helpers
from trainer.users import ErrorClick, largest_error

__all__ = ["Correction", "Rounds", "Users", "correct"]

Rng = np.random.Generator
Packed = npt.NDArray[np.uint8]

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

    def show(
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
        """What ``sixpoint.maps.heatmap`` draws for each click, multiplied where the channels are."""
        z, y, x = channels.shape[2:]
        factors = []
        for click in clicks:
            point = 2.0 * (np.array(click.point) + 0.5) / (x, y, z) - 1.0
            factors.append(heat_factors(point[None], shape=(z, y, x), sigma=self.sigmas[click.positive]))
        along = [torch.from_numpy(np.concatenate(axis)).to(channels.device) for axis in zip(*factors, strict=True)]
        heat = along[0][:, :, None, None] * along[1][:, None, :, None] * along[2][:, None, None, :]
        heat[heat < LEAST_HEAT] = 0.0
        places = torch.tensor(samples), torch.tensor([self.clicks[click.positive] for click in clicks])
        channels[places] = torch.maximum(channels[places], heat.to(channels.dtype))


@dataclass(frozen=True)
class Correction:
    """What a person does about an answer.

    Attributes:
        click: Where they click.
        box: (first, last) of the error's cells and a rim round them, along z, y and x.
    """

    click: ErrorClick
    box: tuple[tuple[int, int], ...]


def correct(truth: Packed, answer: Packed, edge: int, seed: int | None) -> Correction | None:
    """Where a person corrects an answer: in its largest error.

    Args:
        truth: The object, packed bits of [z, y, x].
        answer: What the network answered, likewise.
        edge: Cells of both along each axis.
        seed: Decides whether they click in the error's middle, and where else; None: in its middle.

    Returns:
        The correction; None when nothing is wrong.
    """
    shape = (edge, edge, edge)
    whole, given = (np.unpackbits(bits, count=edge**3).astype(np.bool_).reshape(shape) for bits in (truth, answer))
    error = largest_error(whole, given)
    if error is None:
        return None
    rng = None if seed is None else np.random.default_rng(seed)
    anywhere = rng is not None and rng.random() > _IN_THE_MIDDLE
    box = tuple((max(0, part.start - _RIM), min(edge, part.stop + _RIM)) for part in error.box)
    return Correction(click=error.click(rng=rng if anywhere else None), box=box)


class Users:
    """Simulated people who look at the network's answers; with ``processes``, while it goes on with other samples.

    Args:
        processes: How many look at once, in processes of their own; 0: here, as the corrections are asked for.
    """

    def __init__(self, *, processes: int = 0) -> None:
        self._executor = ProcessPoolExecutor(processes, mp_context=helpers()) if processes else None
        # It waits for a GPU, so that the caller need not.
        self._waiter = ThreadPoolExecutor(1) if processes else None

    @property
    def apart(self) -> bool:
        """Whether they look while the caller goes on."""
        return self._executor is not None

    def look(
        self, rng: Rng | None, target: torch.Tensor, logits: torch.Tensor
    ) -> Callable[[], list[Correction | None]]:
        """Begin to look at a batch's answers.

        Args:
            rng: Decides where in an error people click; None: always in its middle.
            target: Share of each cell that the object fills, [batch, 1, z, y, x]; cubes.
            logits: What the network answered, likewise.

        Returns:
            A function that waits for the corrections, one for each sample.
        """
        seeds = [None] * len(target) if rng is None else [int(seed) for seed in rng.integers(2**32, size=len(target))]
        both = torch.stack([target > 0.5, logits > 0]).flatten(2)
        edge, ready = target.shape[-1], None
        if both.is_cuda:
            both, ready = both.to("cpu", non_blocking=True), torch.cuda.Event()  # type: ignore[no-untyped-call]
            ready.record()

        def ask() -> list[tuple[Packed, Packed, int, int | None]]:
            if ready is not None:
                ready.synchronize()
            truths, answers = np.packbits(both.numpy(), axis=-1)
            return [(truth, answer, edge, seed) for truth, answer, seed in zip(truths, answers, seeds, strict=True)]

        if self._executor is None or self._waiter is None:
            return lambda: [correct(*one) for one in ask()]
        executor = self._executor
        asked: Future[list[Future[Correction | None]]] = self._waiter.submit(
            lambda: [executor.submit(correct, *one) for one in ask()]
        )
        return lambda: [future.result() for future in asked.result()]

    def close(self) -> None:
        """Send them home."""
        if self._executor is not None and self._waiter is not None:
            self._waiter.shutdown(cancel_futures=True)
            self._executor.shutdown(cancel_futures=True)
