"""``trainer evaluate`` on the labelled images beside the project, whose layouts are their own.

make serve &
python -m benchmarks.accuracy ../shared/data --output out/accuracy
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.images.shared_images import shared_images
from trainer.evaluation import evaluate


def main(
    data: Annotated[Path, typer.Argument(help="Folder of labelled images: volumes/, sarcoma/, hippocampus/.")],
    output: evaluate.Output = Path("out/accuracy"),
    server: evaluate.Server = "127.0.0.1:50051",
    model: evaluate.Model = "annotation",
    groups: evaluate.Groups = "",
    limit: evaluate.Limit = None,
    seed: evaluate.Seed = 0,
    baselines: evaluate.Baselines = True,
    pictures: evaluate.Pictures = False,
    as_json: evaluate.AsJson = False,
) -> None:
    """Judge a model on every structure of at least 300 voxels."""
    evaluate.evaluate(
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
