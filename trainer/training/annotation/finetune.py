"""Fine-tuning of the annotation network on labelled images: the pre-training loop, on their structures alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from sixpoint.errors import DatasetError, ModelSpecError
from sixpoint.model_spec import Task
from trainer.data.dataloader import LabelledCases
from trainer.data.datasets import Dataset, read_dataset, split_cases
from trainer.data.experiment import write_split
from trainer.data.stated_split import annotation_digests, read_stated_split
from trainer.training.annotation.pretrain import check_folder, pretrain
from trainer.training.config import FinetuneConfig, PretrainConfig, PretrainProgress

__all__ = ["finetune"]

_WARM_UP_STEPS = 20


def finetune(
    config: FinetuneConfig,
    *,
    report: Callable[[PretrainProgress], None] = lambda _: None,
    started: float | None = None,
) -> Path:
    """Train until the budget is spent, resuming the run in the folder if there is one.

    Args:
        config: Configuration of the run.
        report: Callback after every step, and before every validation.
        started: Time of :func:`time.monotonic` that the budget counts from; None: now.

    Returns:
        Path of the checkpoint with the best score on the held-out cases, with its spec beside it.

    Raises:
        DatasetError: The dataset is unusable, or has no structure large enough to be outlined.
        ModelSpecError: The spec is not for annotation.
        FailedPrecondition: The folder holds another run.
    """
    started = time.monotonic() if started is None else started
    if config.spec.task is not Task.ANNOTATION:
        raise ModelSpecError("the spec is not for annotation: expected task: annotation")
    dataset = read_dataset(config.data)
    split = split_cases(
        dataset,
        seed=config.seed,
        held_out_fraction=config.held_out_fraction,
        held_out=config.held_out,
        stated=read_stated_split(config.data),
    )
    training, held_out = (
        LabelledCases(tuple(case for case in dataset.cases if case.name in names), 1.0)
        for names in (split.training, split.validation)
    )
    pretraining = _pretrain_config(config, dataset, training=training, held_out=held_out)
    check_folder(pretraining)
    # Checked here, where the error reaches the user: the worker that makes samples reads the cases again.
    for part, purpose in ((training, "train on"), (held_out, "hold out")):
        if not part.crops():
            raise DatasetError(f"{dataset.name} has no structure large enough to be outlined in the cases to {purpose}")
    config.out.mkdir(parents=True, exist_ok=True)
    write_split(split, out=config.out)
    return pretrain(pretraining, report=report, started=started)


def _pretrain_config(
    config: FinetuneConfig, dataset: Dataset, *, training: LabelledCases, held_out: LabelledCases
) -> PretrainConfig:
    """Configure the pre-training loop for labelled images alone."""
    provenance = {
        "training_cases": str(len(training.cases)),
        "held_out_cases": str(len(held_out.cases)),
    }
    # The metrics of the network to start from do not hold for this one.
    changes = {"metrics": {}, "provenance": {**config.spec.provenance, **provenance}}
    return PretrainConfig(
        spec=config.spec.model_copy(update=changes),
        out=config.out,
        minutes=config.minutes,
        steps=config.steps,
        learning_rate=config.learning_rate,
        # Weights that are good already need little of it, and a run of minutes has few steps to spend.
        warm_up_steps=_WARM_UP_STEPS if config.init else 150,
        seed=config.seed,
        crop_uses=4.0,
        pool_size=200,
        sizes=config.sizes,
        size_probabilities=(1.0 / len(config.sizes),) * len(config.sizes),
        threads=config.threads,
        workers=config.workers,
        bfloat16=False,
        save_interval_s=60.0,
        init=config.init,
        labelled=training,
        held_out=held_out,
        dataset=dataset,
        licence=config.licence,
        annotations=annotation_digests(config.data),
        augmentation=config.augmentation,
    )
