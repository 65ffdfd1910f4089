"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "ANNOTATION_SPEC",
    "SEGMENTATION_SPEC",
    "AsJson",
    "Baselines",
    "Groups",
    "Init",
    "Licence",
    "Limit",
    "Model",
    "Output",
    "Pictures",
    "RunFolder",
    "Seed",
    "Server",
    "Spec",
]

_SPECS = Path(__file__).parents[1]
ANNOTATION_SPEC = _SPECS / "annotation.yaml"
SEGMENTATION_SPEC = _SPECS / "segmentation.yaml"

RunFolder = Annotated[Path, typer.Argument(file_okay=False, help="Folder of the run. A run in it is resumed.")]
Spec = Annotated[
    Path,
    typer.Option(
        "--spec", exists=True, dir_okay=False, help="Spec of the model.", show_default="the trainer's annotation.yaml"
    ),
]
Init = Annotated[
    str | None,
    typer.Option(
        help="Weights to start from: a checkpoint, the folder of a run, an ONNX file, or a model's folder (its newest "
        "version), version folder or name of a served or shipped model.",
        show_default="random weights",
        metavar="PATH|NAME",
    ),
]
Licence = Annotated[
    str,
    typer.Option(
        help='Licence of the data, as "CC-BY-4.0".', show_default="dataset.json's; else unknown", metavar="NAME"
    ),
]

# Options of an evaluation.
Output = Annotated[
    Path, typer.Option("--output", "-o", file_okay=False, help="Folder for evaluation.md, evaluation.json and plots.")
]
Server = Annotated[
    str,
    typer.Option(
        "--server", "-s", envvar="SIXPOINT_SERVER", help="Address of the gateway, host:port.", metavar="HOST:PORT"
    ),
]
Model = Annotated[str, typer.Option("--model", "-m", help="Model to evaluate; `sixpoint models` lists them.")]
Groups = Annotated[str, typer.Option(help='Groups to evaluate, e.g. "liver,spleen".', show_default="all")]
Limit = Annotated[int | None, typer.Option(min=1, help="Maximum number of structures per group, drawn by the seed.")]
Seed = Annotated[int, typer.Option(help="Seed of the draw for --limit.")]
Baselines = Annotated[bool, typer.Option(help="Also evaluate ellipsoid, random walker and graph cut.")]
Pictures = Annotated[
    bool, typer.Option(help="Draw each structure: last answer (yellow), truth (green), points and clicks.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
