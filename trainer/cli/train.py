"""``trainer train``."""

from __future__ import annotations

import math
import shlex
import time
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from sixpoint.errors import InvalidArgument
from sixpoint.model_spec import ModelSpec, Task
from trainer.cli.console import check_run_folder, describe_pretraining, progress_bar, say, say_licence
from trainer.cli.options import ANNOTATION_SPEC, SEGMENTATION_SPEC, Init, Licence, RunFolder
from trainer.data.spec_files import read_spec_mapping
from trainer.training.annotation.finetune import finetune
from trainer.training.checkpoint import SPEC
from trainer.training.config import ComputePrecision, FinetuneConfig, TrainConfig, TrainProgress
from trainer.training.start import StartFile, find_start, resolve_start

__all__ = ["train"]

Data = Annotated[
    Path, typer.Option(help="Labelled images: a folder with dataset.json (Decathlon), or with images/ and labels/.")
]
Spec = Annotated[
    Path | None,
    typer.Option(dir_okay=False, exists=True, help="Spec of the model; what it leaves open follows from the data."),
]
Reference = Annotated[
    str | None,
    typer.Option(
        help="Segmentation model to measure first on the held-out cases, as step 0 of metrics.json; named as for "
        "--init.",
        show_default="that of --init",
        metavar="PATH|NAME",
    ),
]
HeldOut = Annotated[
    Path | None, typer.Option(dir_okay=False, exists=True, help="File with the cases to hold out, one name a line.")
]
Fraction = Annotated[float, typer.Option(min=0, max=1, help="Fraction of the cases to hold out, drawn by the seed.")]
Minutes = Annotated[
    float,
    typer.Option(min=0.01, help="Budget of minutes, set-up and validation included.", show_default="none"),
]
Rate = Annotated[
    float | None, typer.Option(help="Peak learning rate.", show_default="2e-3; annotation 1.5e-3, from init 3e-4")
]
Patience = Annotated[int, typer.Option(min=1, help="Validations without a better score that end the run.")]
Mirror = Annotated[
    bool,
    typer.Option(
        "--mirror",
        help="Swap left and right in half of the patches: more to learn from, but wrong for labels with a side, such "
        "as a left kidney.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=0, help="Processes that make patches.", show_default="1; annotation with a GPU: all cores but one"
    ),
]
Precision = Annotated[
    ComputePrecision | None, typer.Option(help="Number format to compute in.", show_default="fastest on the device")
]
Devices = Annotated[str, typer.Option(help="Number of GPUs to use; without a GPU, the CPU is used.")]


def train(
    out: RunFolder,
    data: Data,
    task: Annotated[Task, typer.Option(help="Task of the network.")],
    spec: Spec = None,
    init: Init = None,
    reference: Reference = None,
    held_out: HeldOut = None,
    fraction: Fraction = 0.2,
    steps: Annotated[int, typer.Option(min=1, help="Budget of steps.")] = 4000,
    minutes: Minutes = math.inf,
    batch: Annotated[int, typer.Option(min=1, help="Patches per step and device.")] = 2,
    rate: Rate = None,
    patience: Patience = 10,
    every: Annotated[int, typer.Option(min=1, help="Steps between validations.")] = 400,
    seed: Annotated[int, typer.Option(help="Seed of split, patches and weights.")] = 1,
    mirror: Mirror = False,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the network on a CPU.")] = 2,
    workers: Workers = None,
    precision: Precision = None,
    devices: Devices = "auto",
    licence: Licence = "",
) -> None:
    """Train on labelled images; write the best checkpoint.pt, with spec.yaml and metrics.json beside it.

    For annotation, reference, batch, patience, every, mirror, precision and devices have no effect: the values of
    pretrain are used, and a GPU if there is one.
    """
    started = time.monotonic()
    weights = None if init is None else resolve_start(init)
    compared = None if reference is None else resolve_start(reference)
    check_run_folder(out, data, spec, weights, compared, held_out)
    if weights:
        say(f"starting from {weights}")
    start = find_start(weights) if weights else None
    annotation = task is Task.ANNOTATION
    # What replaces a model must see images as it does: Triton keeps the tensors of a model.
    beside = find_start(compared) if compared and not annotation else None
    config = TrainConfig(
        data=data,
        out=out,
        template=read_spec_mapping(spec) if spec else _default_template(task, start or beside),
        init=weights,
        reference=compared,
        held_out=held_out,
        held_out_fraction=fraction,
        steps=steps,
        minutes=minutes,
        batch_size=batch,
        learning_rate=_default_rate(task, start) if rate is None else rate,
        seed=seed,
        mirror=mirror,
        validation_interval=every,
        patience=patience,
        threads=threads,
        workers=1 if workers is None else workers,
        precision=precision,
        devices=devices,
        licence=licence,
    )
    run = partial(_finetune, workers=workers) if annotation else _train_segmentation
    checkpoint = run(config, started=started)
    say(f"wrote {checkpoint}; next: exporter export {shlex.quote(str(checkpoint))}")
    say_licence(checkpoint)


def _default_template(task: Task, start: StartFile | None) -> dict[str, Any]:
    """Return what describes the network where no spec is given: the weights' own spec, else the trainer's."""
    if task is Task.ANNOTATION:
        if start is None:
            return read_spec_mapping(ANNOTATION_SPEC)
        if start.spec is None:
            raise InvalidArgument(f"nothing describes {start.file}: give its spec by --spec, or put {SPEC} beside it")
        return start.spec.model_dump(mode="json")
    if start is None or start.spec is None:
        return read_spec_mapping(SEGMENTATION_SPEC)
    # Labels, modality and title follow from the data; what the network sees and how it computes stay as they were.
    whole = start.spec.model_dump(mode="json")
    template = {name: whole[name] for name in ("task", "prompts", "patch", "input", "output", "network")}
    if start.spec.network is not None and start.spec.network.name == "DynUNet":
        template["network"]["arguments"].pop("out_channels", None)
    return template


def _default_rate(task: Task, start: StartFile | None) -> float:
    if task is Task.SEGMENTATION:
        return 2e-3
    return 3e-4 if start else 1.5e-3


def _finetune(options: TrainConfig, *, workers: int | None, started: float) -> Path:
    config = FinetuneConfig(
        data=options.data,
        out=options.out,
        spec=ModelSpec.from_mapping(dict(options.template)),
        init=options.init,
        held_out=options.held_out,
        held_out_fraction=options.held_out_fraction,
        steps=options.steps,
        minutes=options.minutes,
        learning_rate=options.learning_rate,
        seed=options.seed,
        threads=options.threads,
        licence=options.licence,
        workers=workers,
    )
    with progress_bar() as update:
        update(0.0, "set-up", "reading images, first samples")
        return finetune(
            config,
            report=lambda progress: update(progress.fraction, progress.stage, describe_pretraining(progress)),
            started=started,
        )


def _train_segmentation(config: TrainConfig, *, started: float) -> Path:
    # MONAI's transforms and Lightning take long to import.
    from trainer.training.train import train

    def report(progress: TrainProgress) -> None:
        if progress.note:  # a line of its own: the bar would show it for a moment only
            say(progress.note)
            return
        line = progress.stage
        if progress.stage == "training":
            line = f"step {progress.step} loss {progress.loss:.3f}"
            line += "".join(f" {name.replace('_', ' ', 1)} {value:.3f}" for name, value in progress.dice.items())
        update(progress.fraction, progress.stage, line)

    with progress_bar() as update:
        return train(config, report=report, started=started)
