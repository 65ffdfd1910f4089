"""The command ``trainer``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from sixpoint.cli import exit_code
from sixpoint.errors import SixpointError
from trainer import evaluate as evaluation
from trainer import pretrain as training
from trainer.feeding import Labelled
from trainer.network import read_spec
from trainer.structures import images_of

__all__ = ["app", "main"]

app = typer.Typer(no_args_is_help=True, help="Train and judge sixpoint's networks.", pretty_exceptions_enable=False)
_console = Console(stderr=True)
_SPEC = Path(__file__).with_name("annotation.yaml")
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
    keep_pool: Annotated[bool, typer.Option(help="Leave the pool of samples on disk at the end.")] = False,
    init: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Checkpoint to start from, spec.yaml beside it.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="Labelled images to mix in: images/ and labels/.")
    ] = None,
    share: Annotated[float, typer.Option(min=0, max=1, help="Share of the crops that are from --data.")] = 0.25,
    half: Annotated[bool, typer.Option(help="Compute in bfloat16: quicker on processors with AMX only.")] = False,
    compiled: Annotated[bool, typer.Option("--compile", help="Let torch.compile speed the network up.")] = False,
) -> None:
    """Train the annotation network on synthetic scenes; write checkpoint.pt and spec.yaml."""
    plan = training.Plan(
        spec=read_spec(spec),
        out=out,
        minutes=minutes,
        steps=steps,
        rate=rate,
        seed=seed,
        threads=threads,
        keep_pool=keep_pool,
        init=init,
        labelled=Labelled(_pairs(data), share) if data else Labelled(),
        half=half,
        compiled=compiled,
    )
    percent = TextColumn("{task.percentage:.1f} %")
    columns = (TextColumn("{task.description}"), BarColumn(), percent, TimeElapsedColumn())
    told = -_LINE_EVERY_S
    with Progress(*columns, console=_console) as bar:
        task = bar.add_task("first samples", total=1.0)

        def report(now: training.Progress) -> None:
            nonlocal told
            line = f"step {now.step} loss {now.loss:.3f} {now.shown / max(now.elapsed_s, 1e-6):.1f} samples/s"
            if (score := now.score) is not None:
                clicked = " ".join(f"{value:.3f}" for value in score.clicked)
                line += f" Dice {score.dice:.3f}, clicks {clicked}, jittered {score.jittered:.3f}"
            bar.update(task, completed=now.share, description=line)
            # A log file gets lines in place of a bar.
            if not _console.is_terminal and (now.elapsed_s - told >= _LINE_EVERY_S or now.share >= 1.0):
                told = now.elapsed_s
                line = f"{now.elapsed_s / 60:6.1f} min {100 * now.share:5.1f} % {line}"
                _console.print(line, highlight=False, soft_wrap=True)

        checkpoint = training.pretrain(plan, report=report)
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
        images_of(dataset, merge=merge),
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
def samples(
    out: Annotated[Path, typer.Argument(dir_okay=False, help="PNG to write.")],
    spec: SpecOption = _SPEC,
    seed: Annotated[int, typer.Option(help="Of the scenes.")] = 0,
    rows: Annotated[int, typer.Option(min=1, help="Scenes, one a row.")] = 8,
    columns: Annotated[int, typer.Option(min=1, help="Samples of each scene.")] = 12,
) -> None:
    """Draw training samples: the middle slice, the target's outline in green, the six points in red."""
    from trainer.sheet import sheet

    sheet(read_spec(spec), np.random.default_rng(seed), seed=seed, rows=rows, columns=columns).save(out)
    _console.print(f"wrote {out}", highlight=False, soft_wrap=True)


def _pairs(data: Path) -> tuple[tuple[Path, Path], ...]:
    images = sorted(path for path in (data / "images").iterdir() if not path.name.startswith("."))
    return tuple((image, data / "labels" / image.name) for image in images)


def main() -> None:
    """Run the command; an error of ours is one line, not a traceback."""
    try:
        app()
    except SixpointError as error:
        _console.print(f"error: {error.message}", style="red", highlight=False, markup=False, soft_wrap=True)
        raise SystemExit(exit_code(error)) from error


if __name__ == "__main__":
    main()
