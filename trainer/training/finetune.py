"""Fine-tuning the annotation network on labelled images: pre-training's machinery, fed with their structures alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sixpoint.errors import DatasetError, ModelSpecError
from sixpoint.model_spec.spec import ModelSpec, Task
from trainer.data.dataloader import LabelledCases
from trainer.data.datasets import read_dataset, split_cases
from trainer.data.experiment import write_split
from trainer.training import pretrain

__all__ = ["FinetuneConfig", "finetune"]


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """How to fine-tune.

    Attributes:
        data: Folder of the dataset.
        out: Folder of the run.
        spec: The network, its ROI and its channels.
        init: Checkpoint to start from, its spec beside it; None: random weights.
        held_out: File with the names of the cases to hold out, in place of a draw.
        fraction: Share of the cases to hold out.
        steps: Budget of steps.
        minutes: Budget of training time, earlier parts of a resumed run included.
        rate: Peak learning rate.
        seed: Of everything.
        threads: Threads of the network.
        licence: Of the data, where the dataset does not say it.
        sizes: (edge of the ROI's grid, samples in a batch), drawn evenly.
        workers: Processes that make batches, 0: none but this one; None: one, or, beside a GPU, as many as there are
            cores left.
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


def finetune(config: FinetuneConfig, *, report: Callable[[pretrain.PretrainProgress], None] = lambda _: None) -> Path:
    """Train until the budget is spent, going on from the folder's last checkpoint if there is one.

    Args:
        tuning: What to do.
        report: Called after every step.

    Returns:
        The checkpoint that was best on the cases held out; its spec lies beside it.

    Raises:
        DatasetError: The dataset cannot be used, or has no structure that is large enough to be outlined.
        ModelSpecError: The spec is not for annotation.
        FailedPrecondition: The folder holds another run.
    """
    if config.spec.task is not Task.ANNOTATION:
        raise ModelSpecError("the spec is not for annotation: expected task: annotation")
    dataset = read_dataset(config.data)
    parts = split_cases(dataset, seed=config.seed, held_out_fraction=config.held_out_fraction, held_out=config.held_out)
    chosen = [tuple(c for c in dataset.cases if c.name in names) for names in (parts.training, parts.validation)]
    learnt, held_out = (LabelledCases(cases, 1.0) for cases in chosen)
    facts = {
        "dataset": dataset.name,
        "data_licence": config.licence or dataset.licence or "unknown",
        "training_cases": str(len(learnt.cases)),
        "held_out_cases": str(len(held_out.cases)),
    }
    # What another network measured is not this one's.
    spec = config.spec.model_copy(update={"metrics": {}, "provenance": {**config.spec.provenance, **facts}})
    plan = pretrain.PretrainConfig(
        spec=spec,
        out=config.out,
        minutes=config.minutes,
        steps=config.steps,
        learning_rate=config.learning_rate,
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
        labelled=learnt,
        held_out=held_out,
    )
    pretrain.check_folder(plan)
    # Here, where an error is seen: the process that will make the samples reads them again.
    for part, what in ((learnt, "learn from"), (held_out, "hold out")):
        if not part.crops():
            raise DatasetError(f"{dataset.name} has no structure large enough to be outlined in the cases to {what}")
    config.out.mkdir(parents=True, exist_ok=True)
    write_split(parts, out=config.out)
    return pretrain.pretrain(plan, report=report)
