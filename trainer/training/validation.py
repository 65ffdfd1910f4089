"""Validation of the annotation network: Dice on fixed samples, beside that of a bare ellipsoid."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy import ndimage
from torch import nn

from sixpoint._typing import Bools, Rng
from sixpoint.metrics import dice
from sixpoint.model_spec import ModelSpec
from sixpoint.preprocessing import ellipsoid_map
from trainer.data.crop_pool import generate_crops
from trainer.data.dataloader import with_float32_input
from trainer.data.samples import OF_EVERY_KIND, Augmentation, Crop, TrainingSample, draw_sample
from trainer.simulation.click_measures import MeasuredClick, flat_figures, measure_click, tabulate_clicks
from trainer.simulation.interaction_rounds import Correction, InteractionChannels, find_corrections
from trainer.training.figure_names import figure_names

__all__ = ["ValidationScore", "ValidationSet", "validate"]

_CROPS_PER_SCENE = 8
_MAX_CROPS = 96
_BATCH_SIZE = 4
_CLICKS = 3


@dataclass(frozen=True)
class ValidationScore:
    """Mean Dice over a validation set.

    Attributes:
        dice: Dice of the network with exact points.
        jittered: Dice of the network with points jittered as in training.
        ellipsoid: Dice of the ellipsoid in the box of the exact points, which needs no network.
        clicked: Dice of the network after one, two, ... correcting clicks on top of the exact points. Empty for a
            network without clicks.
        by_label: Dice of the network with exact points, by the name of the label; empty for synthetic scenes.
        clicks: What the clicks corrected and spoilt, see
            :func:`~trainer.simulation.click_measures.tabulate_clicks`; empty for a network without clicks.
    """

    dice: float
    jittered: float
    ellipsoid: float
    clicked: tuple[float, ...] = ()
    by_label: Mapping[str, float] = field(default_factory=dict)
    clicks: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def figures(self, prefix: str = "synthetic_") -> dict[str, float]:
        """Return the figures by their names in a spec's metrics. ``prefix`` names the images they were measured on."""
        figures = {
            f"{prefix}dice": round(self.dice, 4),
            f"{prefix}dice_jittered": round(self.jittered, 4),
            f"{prefix}dice_ellipsoid": round(self.ellipsoid, 4),
            **{f"{prefix}dice_clicks_{n}": round(value, 4) for n, value in enumerate(self.clicked, start=1)},
            **{name: round(value, 4) for name, value in flat_figures(self.clicks, prefix=prefix).items()},
        }
        names = figure_names(list(self.by_label), taken=figures)
        return figures | {name: round(value, 4) for name, value in zip(names, self.by_label.values(), strict=True)}


@dataclass(frozen=True)
class ValidationSet:
    """Fixed samples to validate on.

    Attributes:
        exact: Samples with exact points.
        varied: Samples of the same crops, augmented; half of them with jittered points.
        labels: Name of the label of each sample; empty for synthetic scenes.
    """

    exact: tuple[TrainingSample, ...]
    varied: tuple[TrainingSample, ...]
    labels: tuple[str, ...] = ()

    @classmethod
    def draw(cls, spec: ModelSpec, *, seed: int, scenes: int, edge: int) -> ValidationSet:
        """Draw a set from synthetic scenes.

        Args:
            spec: ROI and channels.
            seed: Seed of the scenes. No training may use the same one.
            scenes: Number of scenes.
            edge: Edge of a scene, in voxels.
        """
        rng = np.random.default_rng(seed)
        crops: list[Crop] = []
        for index in range(scenes):
            candidates = generate_crops(seed, index, edge=edge)
            crops += [candidates[choice] for choice in rng.permutation(len(candidates))[:_CROPS_PER_SCENE]]
        return cls.from_crops(crops, spec, rng=rng)

    @classmethod
    def from_crops(
        cls,
        crops: Sequence[Crop],
        spec: ModelSpec,
        *,
        rng: Rng,
        names: Mapping[int, str] | None = None,
        augmentation: Augmentation = OF_EVERY_KIND,
    ) -> ValidationSet:
        """Make the set of these crops.

        Args:
            crops: Crops to draw from.
            spec: ROI and channels.
            rng: Generator that draws the points, and which crops are used if there are many.
            names: Name of each label by its number, for crops of labelled images.
            augmentation: How often the varied samples differ from the crops.
        """
        spec = with_float32_input(spec)
        exact, varied, labels = [], [], []
        for choice in rng.permutation(len(crops))[:_MAX_CROPS]:
            exact.append(draw_sample(rng, crops[choice], spec, edge=spec.roi.size[0]))
            varied.append(draw_sample(rng, crops[choice], spec, edge=spec.roi.size[0], augmentation=augmentation))
            if (number := crops[choice].label) and names is not None:
                labels.append(names.get(number, f"label {number}"))
        return cls(exact=tuple(exact), varied=tuple(varied), labels=tuple(labels))

    def first(self, count: int) -> ValidationSet:
        """Return the set of the first samples of each kind."""
        return ValidationSet(exact=self.exact[:count], varied=self.varied[:count], labels=self.labels[:count])


def validate(
    network: nn.Module, samples: ValidationSet, *, interaction: InteractionChannels | None, bfloat16: bool
) -> ValidationScore:
    """Score a network on a validation set.

    Args:
        network: Network that computes logits from channels.
        samples: Samples to validate on.
        interaction: Channels in which the network sees clicks; None for a network without clicks.
        bfloat16: Whether to compute in bfloat16, as training does.
    """
    network.eval()
    shape = samples.exact[0].target.shape
    ellipsoid = [
        dice(ellipsoid_map(sample.guidance.box, shape=shape) > 0, sample.target > 0.5) for sample in samples.exact
    ]
    clicks = _CLICKS if interaction else 0
    exact = _roll_out(network, samples.exact, interaction=interaction, clicks=clicks, bfloat16=bfloat16)
    varied = _roll_out(network, samples.varied, interaction=None, clicks=0, bfloat16=bfloat16)
    by_label: dict[str, list[float]] = {label: [] for label in sorted(set(samples.labels))}
    for label, value in zip(samples.labels, exact.dice[0], strict=False):
        by_label[label].append(value)
    return ValidationScore(
        dice=float(np.mean(exact.dice[0])),
        jittered=float(np.mean(varied.dice[0])),
        ellipsoid=float(np.mean(ellipsoid)),
        clicked=tuple(float(np.mean(values)) for values in exact.dice[1:]),
        by_label={label: float(np.mean(values)) for label, values in by_label.items()},
        clicks=tabulate_clicks(exact.clicks),
    )


@dataclass(frozen=True)
class _Rollout:
    """Scores of a network that is corrected by clicks.

    Attributes:
        dice: Each sample's Dice of the first answer, and after each click.
        clicks: The clicks of all samples.
    """

    dice: list[list[float]]
    clicks: list[MeasuredClick] = field(default_factory=list)


def _roll_out(
    network: nn.Module,
    samples: tuple[TrainingSample, ...],
    *,
    interaction: InteractionChannels | None,
    clicks: int,
    bfloat16: bool,
) -> _Rollout:
    """Answer samples, and correct each answer by a click in the middle of the largest error."""
    rollout = _Rollout(dice=[[] for _ in range(clicks + 1)])
    device = next(network.parameters()).device
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
        for first in range(0, len(samples), _BATCH_SIZE):
            batch = samples[first : first + _BATCH_SIZE]
            channels = torch.from_numpy(np.stack([sample.channels for sample in batch])).to(device)
            target = torch.from_numpy(np.stack([sample.target for sample in batch])[:, None]).to(device)
            truths = (target[:, 0] > 0.5).cpu().numpy()
            corrections: list[Correction | None] = [None] * len(batch)
            answers = np.zeros_like(truths)
            for number in range(clicks + 1):
                logits = network(channels.contiguous(memory_format=torch.channels_last_3d))
                before, answers = answers, (logits[:, 0] > 0).cpu().numpy()
                rollout.dice[number] += [dice(answer, truth) for answer, truth in zip(answers, truths, strict=True)]
                rollout.clicks.extend(
                    _measured(truth, *masks, correction)
                    for truth, masks, correction in zip(
                        truths, zip(before, answers, strict=True), corrections, strict=True
                    )
                    if correction is not None
                )
                if interaction is not None and number < clicks:
                    corrections = find_corrections(None, target, logits)()
                    interaction.write_corrections(channels, logits, corrections)
    return rollout


def _measured(truth: Bools, before: Bools, after: Bools, correction: Correction) -> MeasuredClick:
    box = ndimage.find_objects(truth.view(np.uint8))[0]
    sides = [part.stop - part.start for part in box]
    voxels = int(np.count_nonzero(truth))
    return MeasuredClick(
        change=measure_click(truth, before, after, correction.click),
        gain=dice(after, truth) - dice(before, truth),
        positive=correction.click.positive,
        voxels=voxels,
        fill=voxels / math.prod(sides),
        extent=min(sides),
    )
