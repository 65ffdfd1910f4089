"""The command ``trainer``."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

import trainer
from sixpoint.cli import exit_code
from sixpoint.errors import SixpointError
from sixpoint.model_spec.spec import Task
from trainer.data.dataloader import LabelledCases
from trainer.data.datasets import read_dataset
from trainer.data.spec_files import read_spec, read_spec_mapping
from trainer.data.structures import list_images
from trainer.evaluation import evaluate as evaluation
from trainer.training import pretrain as training
from trainer.training.finetune import FinetuneConfig, finetune
from trainer.training.pretrain import Device
from trainer.training.run_state import ComputePrecision, TrainConfig
from trainer.training.run_state import TrainProgress as Where

__all__ = ["app", "main"]

app = typer.Typer(no_args_is_help=True, help="Train and judge sixpoint's networks.", pretty_exceptions_enable=False)
_console = Console(stderr=True)
_SPEC = Path(trainer.__file__).with_name("annotation.yaml")
_SEGMENTATION = Path(trainer.__file__).with_name("segmentation.yaml")
_LINE_EVERY_S = 30.0

SpecOption = Annotated[Path, typer.Option("--spec", exists=True, dir_okay=False, help="The model's spec.")]


@app.command()
def pretrain(
    out: Annotated[Path, typer.Argument(file_okay=False, help="Folder of the run; an interrupted one there goes on.")],
    spec: SpecOption = _SPEC,
    minutes: Annotated[float, typer.Option(min=0.01, help="Budget of training time.")] = 60.0,
    steps: Annotated[int, typer.Option(min=1, help="Budget of steps.")] = 1_000_000,
    rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 1.5e-3,
    seed: Annotated[int, typer.Option(help="Of scenes, samples and weights.")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the network.")] = 2,
    batch: Annotated[int, typer.Option(min=1, help="Samples in a batch; twice as many where the grid is smaller.")] = 4,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes that make samples.", show_default="1; beside a GPU, all cores")
    ] = None,
    device: Annotated[Device, typer.Option(help="Where to compute; auto: on a GPU if there is one.")] = Device.AUTO,
    init: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Checkpoint to start from, spec.yaml beside it.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="Labelled images to mix in, as train takes them.")
    ] = None,
    share: Annotated[float, typer.Option(min=0, max=1, help="Share of the crops that are from --data.")] = 0.25,
    half: Annotated[bool, typer.Option(help="Compute in bfloat16: quicker on processors with AMX only.")] = False,
    compiled: Annotated[bool, typer.Option("--compile", help="Let torch.compile speed the network up.")] = False,
) -> None:
    """Train the annotation network on synthetic scenes; write checkpoint.pt and spec.yaml."""
    plan = training.PretrainConfig(
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
        init=init,
        labelled=LabelledCases(read_dataset(data).cases, share) if data else LabelledCases(),
        bfloat16=half,
        compiled=compiled,
    )
    with _bar() as tell:
        tell(0.0, "first samples")

        checkpoint = training.pretrain(plan, report=lambda now: tell(now.fraction, _annotation_line(now)))
    _console.print(f"wrote {checkpoint} and {training.SPEC} beside it", highlight=False, soft_wrap=True)


@app.command(
    epilog="Examples: trainer evaluate Task09_Spleen --limit 20. trainer evaluate pairs --merge --no-baselines --json. "
    "A dataset is a folder with dataset.json (Decathlon), or with images/ and labels/."
)
def evaluate(
    dataset: Annotated[Path, typer.Argument(file_okay=False, help="Labelled images; every label is a group.")],
    output: evaluation.Output = Path("out/evaluation"),
    server: evaluation.Server = "127.0.0.1:50051",
    model: evaluation.Model = "annotation",
    groups: evaluation.Groups = "",
    limit: evaluation.Limit = None,
    seed: evaluation.Seed = 0,
    merge: Annotated[bool, typer.Option("--merge", help="All labels of an image together are one structure.")] = False,
    baselines: evaluation.Baselines = True,
    pictures: evaluation.Pictures = False,
    as_json: evaluation.AsJson = False,
) -> None:
    """Judge an annotation model over a running gateway: six points, points that miss, up to five corrections."""
    evaluation.evaluate(
        list_images(dataset, merge=merge),
        output=output,
        server=server,
        model=model,
        groups=groups,
        limit=limit,
        seed=seed,
        baselines=baselines,
        pictures=pictures,
        as_json=as_json,
    )


@app.command()
def train(
    out: Annotated[Path, typer.Argument(file_okay=False, help="Folder of the run; an interrupted one there goes on.")],
    data: Annotated[
        Path, typer.Option(help="Labelled images: a folder with dataset.json (Decathlon), or with images/ and labels/.")
    ],
    task: Annotated[Task, typer.Option(help="What the network is for.")],
    spec: Annotated[
        Path | None,
        typer.Option(dir_okay=False, exists=True, help="The model's spec; what it leaves open follows from the data."),
    ] = None,
    init: Annotated[Path | None, typer.Option(dir_okay=False, exists=True, help="Checkpoint to start from.")] = None,
    held_out: Annotated[
        Path | None, typer.Option(dir_okay=False, exists=True, help="Names of the cases to hold out, one a line.")
    ] = None,
    fraction: Annotated[float, typer.Option(min=0, max=1, help="Share of the cases to hold out, drawn by seed.")] = 0.2,
    steps: Annotated[int, typer.Option(min=1, help="Budget of steps.")] = 4000,
    minutes: Annotated[float, typer.Option(min=0.01, help="Budget of training time.", show_default="none")] = math.inf,
    batch: Annotated[int, typer.Option(min=1, help="Patches per step and device.")] = 2,
    rate: Annotated[
        float | None, typer.Option(help="Peak learning rate.", show_default="2e-3; annotation 1.5e-3, from init 3e-4")
    ] = None,
    patience: Annotated[int, typer.Option(min=1, help="Validations without a better one that end the run.")] = 10,
    every: Annotated[int, typer.Option(min=1, help="Steps between validations.")] = 400,
    seed: Annotated[int, typer.Option(help="Of split, patches and weights.")] = 1,
    mirror: Annotated[
        bool,
        typer.Option(
            "--mirror",
            help="Swap left and right in half of the patches: more to learn from, but wrong where a label has a side, "
            "as a left kidney has.",
        ),
    ] = False,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the network on a CPU.")] = 2,
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Processes that make patches.", show_default="1; annotation beside a GPU: all cores"),
    ] = None,
    precision: Annotated[
        ComputePrecision | None, typer.Option(help="What to compute in.", show_default="what the device does best")
    ] = None,
    devices: Annotated[str, typer.Option(help="How many GPUs to use; without one, the CPU.")] = "auto",
    licence: Annotated[str, typer.Option(help="Licence of the data, where dataset.json does not say it.")] = "",
) -> None:
    """Train on labelled images; write the best checkpoint.pt, spec.yaml and metrics.json beside it.

    For annotation, batch, patience, every, mirror, precision and devices are those of pretrain (a GPU if there is
    one): they cannot be chosen.
    """
    if task is Task.ANNOTATION:
        beside = init.with_name(training.SPEC) if init else _SPEC
        tuning = FinetuneConfig(
            data=data,
            out=out,
            spec=read_spec(spec or beside),
            init=init,
            held_out=held_out,
            held_out_fraction=fraction,
            steps=steps,
            minutes=minutes,
            learning_rate=rate or (3e-4 if init else 1.5e-3),
            seed=seed,
            threads=threads,
            licence=licence,
            workers=workers,
        )
        with _bar() as tell:
            checkpoint = finetune(tuning, report=lambda now: tell(now.fraction, _annotation_line(now)))
        _console.print(f"wrote {checkpoint}; next: exporter export {checkpoint}", highlight=False, soft_wrap=True)
        return
    # Its libraries are slow to import.
    from trainer.training.train import train as start

    plan = TrainConfig(
        data=data,
        out=out,
        template=read_spec_mapping(spec or _SEGMENTATION),
        init=init,
        held_out=held_out,
        held_out_fraction=fraction,
        steps=steps,
        minutes=minutes,
        batch_size=batch,
        learning_rate=rate or 2e-3,
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
    with _bar() as tell:

        def report(now: Where) -> None:
            line = now.stage
            if now.stage == "training":
                line = f"step {now.step} loss {now.loss:.3f}"
                line += "".join(f" {name.replace('_', ' ', 1)} {value:.3f}" for name, value in now.dice.items())
            tell(now.fraction, line)

        checkpoint = start(plan, report=report)
    _console.print(f"wrote {checkpoint}; next: exporter export {checkpoint}", highlight=False, soft_wrap=True)


@app.command()
def samples(
    out: Annotated[Path, typer.Argument(dir_okay=False, help="PNG to write.")],
    spec: SpecOption = _SPEC,
    seed: Annotated[int, typer.Option(help="Of the scenes.")] = 0,
    rows: Annotated[int, typer.Option(min=1, help="Scenes, one a row.")] = 8,
    columns: Annotated[int, typer.Option(min=1, help="Samples of each scene.")] = 12,
) -> None:
    """Draw training samples: the middle slice, the target's outline in green, the six points in red."""
    from trainer.data.contact_sheet import draw_contact_sheet

    draw_contact_sheet(read_spec(spec), np.random.default_rng(seed), seed=seed, rows=rows, columns=columns).save(out)
    _console.print(f"wrote {out}", highlight=False, soft_wrap=True)


def _annotation_line(now: training.PretrainProgress) -> str:
    line = f"step {now.step} loss {now.loss:.3f} {now.samples_seen / max(now.elapsed_s, 1e-6):.1f} samples/s"
    if (score := now.score) is not None:
        clicked = " ".join(f"{value:.3f}" for value in score.clicked)
        line += f" Dice {score.dice:.3f}, clicks {clicked}, jittered {score.jittered:.3f}"
    return line


@contextlib.contextmanager
def _bar() -> Iterator[Callable[[float, str], None]]:
    """A progress bar, told the part that is done and what is going on; a log file gets lines in place of it."""
    share = TextColumn("{task.percentage:.1f} %")
    columns = (TextColumn("{task.description}"), BarColumn(), share, TimeElapsedColumn())
    started, told = time.monotonic(), -math.inf
    # Of several processes, one for each GPU, the first has the terminal.
    with Progress(*columns, console=_console, disable=os.environ.get("LOCAL_RANK", "0") != "0") as bar:
        task = bar.add_task("", total=1.0)

        def tell(done: float, line: str) -> None:
            nonlocal told
            now = time.monotonic()
            bar.update(task, completed=done, description=line)
            if not _console.is_terminal and (now - told >= _LINE_EVERY_S or done >= 1.0):
                told = now
                line = f"{(now - started) / 60:6.1f} min {100 * done:5.1f} % {line}"
                _console.print(line, highlight=False, soft_wrap=True)

        yield tell


def main() -> None:
    """Run the command; an error of ours is one line, not a traceback."""
    try:
        app()
    except SixpointError as error:
        _console.print(f"error: {error.message}", style="red", highlight=False, markup=False, soft_wrap=True)
        raise SystemExit(exit_code(error)) from error


if __name__ == "__main__":
    main()
