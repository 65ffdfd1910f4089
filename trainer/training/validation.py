"""A fixed set of synthetic samples, and the Dice of a network and of the bare ellipsoid on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from sixpoint._typing import Bools, Rng
from sixpoint.model_spec.spec import ModelSpec
from sixpoint.preprocessing.guidance_maps import ellipsoid_map
from trainer.data.crop_pool import generate_crops
from trainer.data.dataloader import with_float32_input
from trainer.data.samples import Crop, TrainingSample, draw_sample
from trainer.simulation.interaction_rounds import InteractionChannels, find_corrections

__all__ = ["ValidationScore", "ValidationSet", "dice", "validate"]

_PER_SCENE = 8
_MOST = 96
_BATCH = 4
_CLICKS = 3


@dataclass(frozen=True)
class ValidationScore:
    """Mean Dice over a validation set.

    Attributes:
        dice: Of the network, exact points.
        jittered: Of the network, points jittered as in training.
        ellipsoid: Of the ellipsoid in the exact points' box: what needs no network.
        clicked: Of the network after one, two, ... correcting clicks on top of the exact points; empty when it takes
            none.
    """

    dice: float
    jittered: float
    ellipsoid: float
    clicked: tuple[float, ...] = ()

    def figures(self, prefix: str = "synthetic_") -> dict[str, float]:
        """The figures under the names that a spec's metrics use; ``prefix`` says on which images they were measured."""
        return {
            f"{prefix}dice": round(self.dice, 4),
            f"{prefix}dice_jittered": round(self.jittered, 4),
            f"{prefix}dice_ellipsoid": round(self.ellipsoid, 4),
            **{f"{prefix}dice_clicks_{n}": round(value, 4) for n, value in enumerate(self.clicked, start=1)},
        }


@dataclass(frozen=True)
class ValidationSet:
    """Samples with exact points, and samples of the same crops augmented, half of them jittered."""

    exact: tuple[TrainingSample, ...]
    varied: tuple[TrainingSample, ...]

    @classmethod
    def draw(cls, spec: ModelSpec, *, seed: int, scenes: int, edge: int) -> ValidationSet:
        """The set of a seed; give one that no training uses. ``edge`` is the scenes', in voxels."""
        rng = np.random.default_rng(seed)
        crops: list[Crop] = []
        for index in range(scenes):
            found = generate_crops(seed, index, edge=edge)
            crops += [found[choice] for choice in rng.permutation(len(found))[:_PER_SCENE]]
        return cls.from_crops(crops, spec, rng=rng)

    @classmethod
    def from_crops(cls, crops: Sequence[Crop], spec: ModelSpec, *, rng: Rng) -> ValidationSet:
        """The set of these crops; many are thinned out by ``rng``, which also draws the points."""
        spec = with_float32_input(spec)
        exact, varied = [], []
        for choice in rng.permutation(len(crops))[:_MOST]:
            exact.append(draw_sample(rng, crops[choice], spec, edge=spec.roi.size[0], augmented=False))
            varied.append(draw_sample(rng, crops[choice], spec, edge=spec.roi.size[0]))
        return cls(exact=tuple(exact), varied=tuple(varied))


def dice(a: Bools, b: Bools) -> float:
    """Dice's overlap of two masks; 1 when both are empty."""
    total = int(a.sum()) + int(b.sum())
    return 2.0 * int((a & b).sum()) / total if total else 1.0


def validate(
    network: nn.Module, holdout: ValidationSet, *, rounds: InteractionChannels | None, bfloat16: bool
) -> ValidationScore:
    """Score a network on a set.

    Args:
        network: Logits from channels.
        holdout: The set.
        rounds: How the network sees clicks; None when it takes none.
        bfloat16: Whether to compute in bfloat16, as training does.
    """
    network.eval()
    shape = holdout.exact[0].target.shape
    ellipsoid = [dice(ellipsoid_map(one.guidance.box, shape=shape) > 0, one.target > 0.5) for one in holdout.exact]
    exact = _mean_dice(network, holdout.exact, rounds=rounds, clicks=_CLICKS if rounds else 0, bfloat16=bfloat16)
    varied = _mean_dice(network, holdout.varied, rounds=None, clicks=0, bfloat16=bfloat16)
    return ValidationScore(
        dice=exact[0], jittered=varied[0], ellipsoid=float(np.mean(ellipsoid)), clicked=tuple(exact[1:])
    )


def _mean_dice(
    network: nn.Module,
    samples: tuple[TrainingSample, ...],
    *,
    rounds: InteractionChannels | None,
    clicks: int,
    bfloat16: bool,
) -> list[float]:
    """Mean Dice of the first answer, and after each of ``clicks`` corrections in the middle of the largest error."""
    scores: list[list[float]] = [[] for _ in range(clicks + 1)]
    device = next(network.parameters()).device
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
        for first in range(0, len(samples), _BATCH):
            batch = samples[first : first + _BATCH]
            channels = torch.from_numpy(np.stack([one.channels for one in batch])).to(device)
            target = torch.from_numpy(np.stack([one.target for one in batch])[:, None]).to(device)
            for number in range(clicks + 1):
                logits = network(channels.contiguous(memory_format=torch.channels_last_3d))
                answers = (logits[:, 0] > 0).cpu().numpy()
                scores[number] += [dice(a, one.target > 0.5) for a, one in zip(answers, batch, strict=True)]
                if rounds is not None and number < clicks:
                    rounds.write_corrections(channels, logits, find_corrections(None, target, logits)())
    return [float(np.mean(values)) for values in scores]
