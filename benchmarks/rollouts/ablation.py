"""Short runs of the annotation network's training, each with one change, and what each of them changes.

python -m benchmarks.rollouts.ablation runs/ablation --init annotation --data runs/labelled --images ../shared/data

All runs start from the same weights, with the same seed, and take the same number of steps: what a step costs depends
on what else the machine does. A run that was stopped is continued, and one that is done is not done again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.rollouts.__main__ import compare_networks, read_structures
from trainer.cli.options import ANNOTATION_SPEC
from trainer.data.dataloader import LabelledCases
from trainer.data.datasets import read_dataset
from trainer.data.spec_files import read_spec
from trainer.simulation.round_settings import RoundSettings
from trainer.training.annotation.pretrain import pretrain
from trainer.training.config import PretrainConfig
from trainer.training.start import resolve_start

__all__ = ["VARIANTS"]

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "unchanged": {},
    "overshoot": {"rounds": RoundSettings(overshoot_weight=1.0)},
    "corrected": {"rounds": RoundSettings(corrected_fraction=0.4)},
    "clicks": {"rounds": RoundSettings(extra_clicks=3)},
    "compact": {"compact_fraction": 0.4},
    "jitter": {"jitter_fraction": 0.6},
    "together": {
        "rounds": RoundSettings(overshoot_weight=1.0, corrected_fraction=0.4, extra_clicks=3),
        "compact_fraction": 0.4,
        "jitter_fraction": 0.6,
    },
}
"""What each run changes, by its name."""
_CROP_USES = 1.5


def train_variants(base: PretrainConfig, names: Sequence[str]) -> dict[str, Path]:
    """Train the variants of a configuration, one after another; return the folders of their runs by name."""
    folders: dict[str, Path] = {}
    for name in names:
        out = base.out / name
        figures = out / "metrics.json"
        done = figures.exists() and json.loads(figures.read_text(encoding="utf-8"))[-1]["step"] >= base.steps
        if not done:
            typer.echo(f"{name}: training", err=True)
            pretrain(replace(base, out=out, **VARIANTS[name]))
        folders[name] = out
    return folders


def main(
    out: Annotated[Path, typer.Argument(file_okay=False, help="Folder of the runs.")],
    init: Annotated[str, typer.Option(help="Weights to start from.")] = "annotation",
    data: Annotated[
        Path | None, typer.Option(help="Labelled images to mix in, as of benchmarks.training_data.")
    ] = None,
    share: Annotated[float, typer.Option(min=0, max=1, help="Fraction of the crops that are from --data.")] = 0.2,
    images: Annotated[Path | None, typer.Option(help="Labelled images to evaluate on.")] = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps of each run.")] = 150,
    batch: Annotated[int, typer.Option(min=1, help="Samples in a batch.")] = 4,
    rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 2e-4,
    limit: Annotated[int, typer.Option(min=1, help="Structures of each group to evaluate on.")] = 2,
    bodies: Annotated[int, typer.Option(min=0, help="Synthetic bodies of each of the two kinds.")] = 10,
    variants: Annotated[str, typer.Option(help="Names of the variants.")] = ",".join(VARIANTS),
    half: Annotated[bool, typer.Option(help="Compute in bfloat16.")] = True,
) -> None:
    """Train each variant, evaluate it beside the weights that all start from, and write tables."""
    weights = resolve_start(init)
    dataset = read_dataset(data) if data else None
    base = PretrainConfig(
        spec=read_spec(ANNOTATION_SPEC),
        out=out,
        minutes=1e6,
        steps=steps,
        learning_rate=rate,
        warm_up_steps=10,
        seed=6,
        crop_uses=_CROP_USES,
        sizes=((48, batch),),
        size_probabilities=(1.0,),
        threads=int(os.environ.get("OMP_NUM_THREADS", "2")),
        workers=0,
        bfloat16=half,
        validation_scenes=1,
        init=weights,
        labelled=LabelledCases(dataset.cases, share) if dataset else LabelledCases(),
        dataset=dataset,
    )
    names = variants.split(",")
    structures = read_structures(images, limit=limit, bodies=bodies)
    # Tables after each run: a look at them needs no end of all runs.
    for count in range(len(names) + 1):
        runs = train_variants(base, names[:count])
        compare_networks({"start": weights, **runs}, structures, output=out / "figures", half=half)


if __name__ == "__main__":
    typer.run(main)
