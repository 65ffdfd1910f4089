"""``trainer evaluate`` on the labelled images beside the project, which have their own layouts.

make serve &
python -m benchmarks.accuracy ../shared/data --output out/accuracy
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.images.shared_images import shared_images
from trainer.cli.evaluate import run_evaluation
from trainer.cli.options import AsJson, Baselines, Groups, Limit, Model, Output, Pictures, Seed, Server


def main(
    data: Annotated[Path, typer.Argument(help="Folder of labelled images: volumes/, sarcoma/, hippocampus/.")],
    output: Output = Path("out/accuracy"),
    server: Server = "127.0.0.1:50051",
    model: Model = "annotation",
    groups: Groups = "",
    limit: Limit = None,
    seed: Seed = 0,
    baselines: Baselines = True,
    pictures: Pictures = False,
    as_json: AsJson = False,
) -> None:
    """Evaluate a model on every structure of at least 300 voxels."""
    run_evaluation(
        shared_images(data),
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


if __name__ == "__main__":
    typer.run(main)
