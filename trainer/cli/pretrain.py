"""``trainer pretrain``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from trainer.cli.console import check_run_folder, describe_pretraining, progress_bar, say, say_licence
from trainer.cli.options import ANNOTATION_SPEC, Init, Licence, RunFolder, Spec
from trainer.data.dataloader import LabelledCases
from trainer.data.datasets import read_dataset
from trainer.data.spec_files import read_spec
from trainer.simulation.round_settings import RoundSettings
from trainer.simulation.simulated_user import MAX_JITTER_FRACTION
from trainer.training.annotation import pretrain as training
from trainer.training.checkpoint import SPEC
from trainer.training.config import Device, PretrainConfig
from trainer.training.start import resolve_start

__all__ = ["pretrain"]

_ROUNDS = "What the network learns"


def pretrain(
    out: RunFolder,
    spec: Spec = ANNOTATION_SPEC,
    minutes: Annotated[float, typer.Option(min=0.01, help="Budget of minutes, set-up and validation included.")] = 60.0,
    steps: Annotated[int, typer.Option(min=1, help="Budget of steps.")] = 1_000_000,
    rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 1.5e-3,
    seed: Annotated[int, typer.Option(help="Seed of scenes, samples and weights.")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the network.")] = 2,
    batch: Annotated[int, typer.Option(min=1, help="Samples in a batch; twice as many where the grid is smaller.")] = 4,
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Processes that make samples.", show_default="1; with a GPU, all cores but one"),
    ] = None,
    device: Annotated[Device, typer.Option(help="Where to compute; auto: on a GPU if there is one.")] = Device.AUTO,
    init: Init = None,
    data: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Labelled images to mix in; same folder as train's."),
    ] = None,
    share: Annotated[float, typer.Option(min=0, max=1, help="Fraction of the crops that are from --data.")] = 0.25,
    licence: Licence = "",
    half: Annotated[bool, typer.Option(help="Compute in bfloat16: faster on processors with AMX only.")] = False,
    compiled: Annotated[bool, typer.Option("--compile", help="Compile the network with torch.compile.")] = False,
    overshoot: Annotated[
        float,
        typer.Option(min=0, help="Weight in the loss of cells that a click makes wrong.", rich_help_panel=_ROUNDS),
    ] = 0.0,
    corrected: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Fraction of previous answers made right in part, or whole.", rich_help_panel=_ROUNDS
        ),
    ] = 0.0,
    extra_clicks: Annotated[
        int, typer.Option(min=0, max=11, help="Maximum of further clicks in a round.", rich_help_panel=_ROUNDS)
    ] = 0,
    compact: Annotated[
        float,
        typer.Option(min=0, max=1, help="Fraction of scenes with compact, uneven bodies.", rich_help_panel=_ROUNDS),
    ] = 0.0,
    jitter: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Fraction of an object's extent by which points miss, up to 3 voxels.",
            rich_help_panel=_ROUNDS,
        ),
    ] = MAX_JITTER_FRACTION,
) -> None:
    """Train the annotation network on synthetic scenes; write checkpoint.pt and spec.yaml."""
    started = time.monotonic()
    weights = None if init is None else resolve_start(init)
    check_run_folder(out, spec, weights, data)
    if weights:
        say(f"starting from {weights}")
    dataset = read_dataset(data) if data else None
    config = PretrainConfig(
        spec=read_spec(spec),
        out=out,
        minutes=minutes,
        steps=steps,
        learning_rate=rate,
        seed=seed,
        threads=threads,
        sizes=((48, 2 * batch), (64, batch)),
        workers=workers,
        device=device,
        init=weights,
        labelled=LabelledCases(dataset.cases, share) if dataset else LabelledCases(),
        dataset=dataset,
        licence=licence,
        bfloat16=half,
        compiled=compiled,
        rounds=RoundSettings(overshoot_weight=overshoot, corrected_fraction=corrected, extra_clicks=extra_clicks),
        compact_fraction=compact,
        jitter_fraction=jitter,
    )
    with progress_bar() as update:
        update(0.0, "set-up", "first samples")
        checkpoint = training.pretrain(
            config,
            report=lambda progress: update(progress.fraction, progress.stage, describe_pretraining(progress)),
            started=started,
        )
    say(f"wrote {checkpoint} and {SPEC} beside it")
    say_licence(checkpoint)
