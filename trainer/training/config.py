"""What each training command is asked to do, and what it reports on the way."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import torch

from sixpoint.errors import InvalidArgument
from sixpoint.model_spec import ModelSpec
from trainer.data.crop_pool import SCENE_EDGE
from trainer.data.dataloader import LabelledCases
from trainer.data.datasets import Dataset
from trainer.data.samples import OF_EVERY_KIND, OF_ONE_KIND, Augmentation
from trainer.simulation.round_settings import RoundSettings
from trainer.simulation.simulated_user import MAX_JITTER_FRACTION
from trainer.training.validation import ValidationScore

__all__ = [
    "MAX_ROUNDS",
    "ComputePrecision",
    "Device",
    "FinetuneConfig",
    "PretrainConfig",
    "PretrainProgress",
    "TrainConfig",
    "TrainProgress",
]

MAX_ROUNDS = 6
"""Training steps on one batch in pre-training: the first answer and up to five corrections."""


class Device(StrEnum):
    """Where a network computes."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"

    def resolve(self) -> torch.device:
        """Return the device; ``AUTO`` is a GPU if there is one.

        Raises:
            InvalidArgument: A GPU is wanted, and PyTorch finds none.
        """
        if self is Device.CPU:
            return torch.device("cpu")
        if torch.cuda.is_available():
            return torch.device("cuda")
        if self is Device.CUDA:
            raise InvalidArgument("PyTorch finds no GPU: compute on the CPU, or install PyTorch for CUDA")
        return torch.device("cpu")


class ComputePrecision(StrEnum):
    """Number format that a network computes in, in Lightning's terms."""

    MIXED = "bf16-mixed"
    SINGLE = "32-true"


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """Configuration of a pre-training run of the annotation network.

    Attributes:
        spec: Spec of the network, with ROI and channels.
        out: Folder of the run, for checkpoints and metrics.
        minutes: Budget of time, with set-up, validation and the earlier parts of a resumed run. The learning rate
            follows it.
        steps: Budget of steps. Training ends with whichever budget is spent first.
        learning_rate: Peak learning rate.
        warm_up_steps: Number of steps in which the learning rate rises to its peak.
        seed: Seed of scenes, samples and weights.
        crop_uses: Average number of samples that are drawn from one crop.
        pool_size: Number of crops that are mixed, once so many exist.
        sizes: (edge of the ROI's grid, samples in a batch) of each kind of batch.
        size_probabilities: Probability of each entry of ``sizes``.
        threads: Number of threads of the network.
        workers: Number of processes that make batches. 0: the training process makes them. None: 1, or, with a GPU,
            all cores but one.
        batch_uses: Average number of times that a batch is used, permuted and mirrored. None: 1, or, with a GPU, 2.
        device: Where the network computes.
        bfloat16: Whether to compute in bfloat16 where that is safe. Always on a GPU. Faster on CPUs with AMX, slower
            on others.
        validation_scenes: Number of scenes that the validation set is drawn from.
        scene_edge: Edge of a scene, in voxels.
        save_interval_s: Seconds between two saves. Every fifth save comes with a validation.
        init: Weights to start from: a checkpoint with its spec beside it, an ONNX file, or the folder of a run, a model
            or a version. None: random weights.
        labelled: Labelled images to mix in.
        dataset: Dataset that ``labelled`` and ``held_out`` are of, for licence and provenance. None: no images.
        licence: Licence of the data, where the dataset does not name it.
        annotations: SHA-256 of the saved annotations that the dataset has, for provenance.
        held_out: Labelled images to validate on, in place of scenes. With them, only the best checkpoint is published.
        augmentation: How often samples differ from the scans that they are made of.
        click_probability: Probability of another round with a correcting click after each round, up to
            :data:`MAX_ROUNDS` rounds.
        rounds: Settings of the rounds in which the network corrects its own answer.
        compact_fraction: Fraction of the synthetic scenes that have compact bodies with an uneven interior.
        jitter_fraction: Fraction of an object's extent by which its points may miss, as far as they miss by no more
            than three voxels. The larger, the more the points of thin objects miss.
        compiled: Whether to compile the network with ``torch.compile``, which needs a C++ compiler and some minutes.
    """

    spec: ModelSpec
    out: Path
    minutes: float = 60.0
    steps: int = 1_000_000
    learning_rate: float = 1.5e-3
    warm_up_steps: int = 150
    seed: int = 1
    crop_uses: float = 1.5
    pool_size: int = 2000
    sizes: tuple[tuple[int, int], ...] = ((48, 8), (64, 4))
    size_probabilities: tuple[float, ...] = (0.65, 0.35)
    threads: int = 2
    workers: int | None = None
    batch_uses: int | None = None
    device: Device = Device.AUTO
    bfloat16: bool = False
    validation_scenes: int = 6
    scene_edge: int = SCENE_EDGE
    save_interval_s: float = 120.0
    init: Path | None = None
    labelled: LabelledCases = field(default_factory=LabelledCases)
    dataset: Dataset | None = None
    licence: str = ""
    annotations: tuple[str, ...] = ()
    held_out: LabelledCases = field(default_factory=LabelledCases)
    augmentation: Augmentation = OF_EVERY_KIND
    click_probability: float = 0.65
    rounds: RoundSettings = field(default_factory=RoundSettings)
    compact_fraction: float = 0.0
    jitter_fraction: float = MAX_JITTER_FRACTION
    compiled: bool = False


@dataclass(frozen=True)
class PretrainProgress:
    """State of a pre-training run, after a step or before a validation.

    Attributes:
        step: Number of steps taken.
        samples_seen: Number of samples trained on.
        elapsed_s: Seconds of the run, earlier parts of a resumed run included.
        fraction: Spent part of the budget, 0 to 1.
        loss: Running mean of the loss.
        score: Score of the last validation, if there was one.
        stage: What the run is doing: ``training`` or ``validating``.
    """

    step: int
    samples_seen: int
    elapsed_s: float
    fraction: float
    loss: float
    score: ValidationScore | None
    stage: str = "training"


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """Configuration of a fine-tuning run of the annotation network on labelled images.

    Attributes:
        data: Folder of the dataset.
        out: Folder of the run.
        spec: Spec of the network, with ROI and channels.
        init: Weights to start from, as in :class:`PretrainConfig`. None: random weights.
        held_out: File with the names of the cases to hold out. None: they are drawn by the seed.
        held_out_fraction: Fraction of the cases to hold out when they are drawn.
        steps: Budget of steps.
        minutes: Budget of time, with set-up, validation and the earlier parts of a resumed run.
        learning_rate: Peak learning rate.
        seed: Seed of split, samples and weights.
        threads: Number of threads of the network.
        licence: Licence of the data, where the dataset does not name it.
        sizes: (edge of the ROI's grid, samples in a batch) of each kind of batch, drawn with equal probability.
        workers: Number of processes that make batches. 0: the training process makes them. None: 1, or, with a GPU,
            all cores but one.
        augmentation: How often samples differ from the scans that they are made of.
    """

    data: Path
    out: Path
    spec: ModelSpec
    init: Path | None = None
    held_out: Path | None = None
    held_out_fraction: float = 0.2
    steps: int = 4000
    minutes: float
    learning_rate: float = 3e-4
    seed: int = 1
    threads: int = 2
    licence: str = ""
    sizes: tuple[tuple[int, int], ...] = ((48, 8), (64, 4))
    workers: int | None = None
    augmentation: Augmentation = OF_ONE_KIND


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Configuration of a training run of a segmentation network on labelled images.

    Attributes:
        data: Folder of the dataset.
        out: Folder of the run.
        template: Segmentation spec as a YAML reader returns it. What it leaves open follows from the dataset.
        init: Weights to start from, as in :class:`PretrainConfig`. Tensors of another number of labels start at random.
        reference: Model that is measured on the held-out cases first: a file or folder as for ``init``. None: ``init``.
        held_out: File with the names of the cases to hold out. None: they are drawn by the seed.
        held_out_fraction: Fraction of the cases to hold out when they are drawn.
        steps: Budget of steps.
        minutes: Budget of time, with set-up, validation and the earlier parts of a resumed run.
        batch_size: Number of patches per step and process.
        learning_rate: Peak learning rate.
        seed: Seed of split, patches and weights.
        mirror: Whether to swap left and right in half of the patches.
        validation_interval: Steps between two validations.
        patience: Number of validations without a better score after which the run ends.
        save_interval_s: Seconds between two saves.
        threads: Number of threads of the network on a CPU.
        workers: Number of processes that make batches. 0: the training process makes them.
        precision: Number format to compute in. None: the fastest on the device.
        devices: Number of GPUs to use, or ``auto`` for all. Without a GPU the CPU is used.
        licence: Licence of the data, where the dataset does not name it.
    """

    data: Path
    out: Path
    template: Mapping[str, Any]
    init: Path | None = None
    reference: Path | None = None
    held_out: Path | None = None
    held_out_fraction: float = 0.2
    steps: int = 4000
    minutes: float = math.inf
    batch_size: int = 2
    learning_rate: float = 2e-3
    seed: int = 1
    mirror: bool = False
    validation_interval: int = 400
    patience: int = 10
    save_interval_s: float = 60.0
    threads: int = 2
    workers: int = 1
    precision: ComputePrecision | None = None
    devices: str = "auto"
    licence: str = ""


@dataclass(frozen=True)
class TrainProgress:
    """State of a segmentation training run.

    Attributes:
        stage: What the run is doing: ``reading``, ``preparing``, ``training`` or ``validating``.
        fraction: Finished part of that stage, 0 to 1.
        step: Number of steps taken.
        loss: Running mean of the loss.
        dice: Figures of the last validation: ``dice``, the mean over the labels, and ``dice_...`` of each label.
        note: What the user should know, such as that a case is prepared again; empty: nothing.
    """

    stage: str
    fraction: float
    step: int = 0
    loss: float = math.nan
    dice: Mapping[str, float] = field(default_factory=dict)
    note: str = ""
