"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from sixpoint.errors import InvalidArgument

__all__ = [
    "AsJson",
    "Axes",
    "Calibrate",
    "Ignore",
    "Image",
    "Labels",
    "LeastDice",
    "Licence",
    "MaxBatchSize",
    "ModelName",
    "NumericPrecision",
    "Patch",
    "Precision",
    "Repository",
    "Source",
    "Spacing",
    "Spec",
    "TensorRt",
    "Tolerance",
    "TritonAddress",
    "TritonTimeout",
    "Wait",
    "Weights",
    "default_name",
    "spec_overrides",
]


class NumericPrecision(StrEnum):
    """In what a network computes."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


class TensorRt(StrEnum):
    """How a model comes to run by TensorRT."""

    ACCELERATOR = "accelerator"
    PLAN = "plan"


# What a model is made of

Source = Annotated[
    Path,
    typer.Argument(
        help="Weights from torch.save; a MONAI bundle (folder or .zip); an ONNX or TorchScript file; a folder with "
        "Clara's config_aiaa.json; the folder of a model that was exported before."
    ),
]
Spec = Annotated[
    Path | None,
    typer.Option(
        help="The model's description, YAML or JSON; of a bundle, the part that it does not say itself.",
        show_default="spec.yaml beside the file",
    ),
]
ModelName = Annotated[
    str, typer.Option(help="The model's name in Triton.", show_default="the folder's, or the bundle's")
]
Spacing = Annotated[str, typer.Option(help="Millimetres along the patient's x,y,z that the network sees.")]
Patch = Annotated[str, typer.Option(help="Voxels along the patient's x,y,z that the network sees at once.")]
Axes = Annotated[str, typer.Option(help="Where the network's axes lead, as RAS.")]
Labels = Annotated[str, typer.Option(help="Names of the labels 1, 2, ..., by commas.")]
Licence = Annotated[str, typer.Option(help="Of the model, as Apache-2.0.")]
Weights = Annotated[Path | None, typer.Option(help="Take this file of weights instead of the bundle's.")]
Ignore = Annotated[list[str] | None, typer.Option(help="A bundle's transform to leave out; repeatable.")]

# How it is made, and proven

Precision = Annotated[
    NumericPrecision, typer.Option("--precision", help="In what the network computes; int8 needs --calibrate.")
]
Calibrate = Annotated[
    Path | None,
    typer.Option(
        help="A folder of images that show a network's ranges; for prompts, images/ and labels/ of equal file names."
    ),
]
LeastDice = Annotated[
    float, typer.Option(min=0, max=1, help="Least mean Dice of int8's masks with float32's, on those images.")
]
Image = Annotated[
    Path | None, typer.Option(help="An image on which a model's forms are compared.", show_default="a phantom")
]
MaxBatchSize = Annotated[int, typer.Option(min=1, help="Requests that Triton may run together.")]
Tolerance = Annotated[
    float,
    typer.Option(
        min=0, help="Largest difference to the original to accept, in a probability of 0 to 1.", show_default="2/255"
    ),
]

# Where it goes

Repository = Annotated[
    str, typer.Option(help="Triton's model repository: a folder, or s3://bucket/prefix.", metavar="PATH|URL")
]
TritonAddress = Annotated[
    str | None,
    typer.Option(
        "--triton",
        help="gRPC endpoint of the Triton that serves the repository; it loads and tries the version.",
        metavar="HOST:PORT",
        show_default="none: it is served when Triton next loads it",
    ),
]
TritonTimeout = Annotated[float, typer.Option("--timeout", min=1, help="Seconds that Triton may take to load a model.")]
Wait = Annotated[float, typer.Option(min=0, help="Seconds to wait while another exporter writes to the repository.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def default_name(source: Path) -> str:
    """A model's name, from where it lies: the bundle's or folder's own, or that of a file's folder."""
    if source.is_dir():
        return source.resolve().name
    return source.stem if source.suffix in {".zip", ".onnx", ".ts"} else source.resolve().parent.name


def spec_overrides(*, spacing: str, patch: str, axes: str, labels: str, licence: str) -> dict[str, Any]:
    """What the flags say, as part of a spec.

    Raises:
        InvalidArgument: A flag is not of its form.
    """
    given: dict[str, Any] = {}
    if spacing:
        given.setdefault("patch", {})["spacing"] = _three("--spacing", spacing, float)
    if patch:
        given.setdefault("patch", {})["size"] = _three("--patch", patch, int)
    if axes:
        given["network"] = {"axes": axes.upper()}
    if labels:
        given["labels"] = [name.strip() for name in labels.split(",")]
    if licence:
        given["licence"] = licence
    return given


def _three(flag: str, text: str, kind: type[int] | type[float]) -> list[int | float]:
    try:
        first, second, third = (kind(part) for part in text.split(","))
    except ValueError as error:
        raise InvalidArgument(f"{flag} takes three numbers x,y,z, as 96,96,64; got {text!r}") from error
    return [first, second, third]
