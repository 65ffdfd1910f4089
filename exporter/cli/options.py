"""Options shared by several commands."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from exporter.graph.precision import NumericPrecision
from sixpoint.environment import REPOSITORY_VARIABLE, repository_from_environment
from sixpoint.errors import InvalidArgument

__all__ = [
    "AsJson",
    "Axes",
    "Calibrate",
    "Force",
    "Ignore",
    "Image",
    "Labels",
    "LeastDice",
    "Licence",
    "MaxBatchSize",
    "ModelName",
    "Once",
    "Patch",
    "Precision",
    "PublishPrecision",
    "Repository",
    "RepositoryFolder",
    "Share",
    "Source",
    "Spacing",
    "Spec",
    "TensorRt",
    "Tolerance",
    "TritonAddresses",
    "TritonTimeout",
    "TrustTorchscript",
    "UseTensorRt",
    "Wait",
    "Weights",
    "Wide",
    "address_of",
    "default_name",
    "spec_overrides",
]


class TensorRt(StrEnum):
    """How a model uses TensorRT."""

    ACCELERATOR = "accelerator"
    PLAN = "plan"


# The source of a model

Source = Annotated[
    Path,
    typer.Argument(
        help="Weights from torch.save; a MONAI bundle (folder or .zip); an ONNX or TorchScript file; a folder with "
        "Clara's config_aiaa.json; the folder of an exported model."
    ),
]
Spec = Annotated[
    Path | None,
    typer.Option(
        help="File that describes the model, YAML or JSON; for a bundle, the fields that it does not state.",
        show_default="spec.yaml beside the file",
    ),
]
ModelName = Annotated[
    str, typer.Option(help="The model's name in Triton.", show_default="the folder's, or the bundle's")
]
_STATED = "what the source states"
Spacing = Annotated[
    str,
    typer.Option(
        help="Spacing of the network's grid in mm, along the patient's x,y,z.", metavar="X,Y,Z", show_default=_STATED
    ),
]
Patch = Annotated[
    str,
    typer.Option(help="Size of a window in voxels, along the patient's x,y,z.", metavar="X,Y,Z", show_default=_STATED),
]
Axes = Annotated[
    str,
    typer.Option(
        help="Directions of the network's axes, three of L or R, A or P, S or I, as RAS.", show_default=_STATED
    ),
]
Labels = Annotated[
    str, typer.Option(help="Names of labels 1, 2, ..., separated by commas.", metavar="NAMES", show_default=_STATED)
]
Licence = Annotated[
    str, typer.Option(help="Licence of the model, as Apache-2.0.", show_default=f"{_STATED}, or unknown")
]
Weights = Annotated[
    Path | None,
    typer.Option(help="File of weights to use in place of the bundle's.", show_default="the bundle's"),
]
TrustTorchscript = Annotated[
    bool,
    typer.Option(
        "--trust-torchscript",
        help="Load a TorchScript file, which is a program, in a process without network and write access where the "
        "system allows.",
    ),
]
Ignore = Annotated[
    list[str] | None, typer.Option(help="Transform of a bundle to leave out; repeatable.", show_default="none")
]

# Export and comparison

Precision = Annotated[
    NumericPrecision,
    typer.Option("--precision", help="Precision in which the network computes; int8 needs --calibrate."),
]
PublishPrecision = Annotated[
    NumericPrecision | None,
    typer.Option(
        "--precision",
        help="Precision in which the network computes; int8 needs --calibrate.",
        show_default="fp32; a TensorRT plan: fp16",
    ),
]
UseTensorRt = Annotated[
    TensorRt | None,
    typer.Option(
        "--tensorrt",
        help="Have ONNX Runtime use TensorRT (accelerator), or build a TensorRT plan (plan) on the GPU that will run "
        "it, with the trtexec of the Triton that will serve it.",
        show_default="neither",
    ),
]
Calibrate = Annotated[
    Path | None,
    typer.Option(
        help="Folder of images to calibrate int8 on; for a model with prompts, images/ and labels/ with equal names.",
        show_default="none",
    ),
]
LeastDice = Annotated[
    float,
    typer.Option(
        min=0, max=1, help="Smallest accepted mean Dice of the int8 masks with those of float32, on these images."
    ),
]
Image = Annotated[
    Path | None, typer.Option(help="Image on which the forms of the model are compared.", show_default="a phantom")
]
MaxBatchSize = Annotated[int, typer.Option(min=1, help="Largest batch that Triton may form.")]
Tolerance = Annotated[
    float,
    typer.Option(
        min=0, help="Largest accepted difference to the original, in a probability of 0 to 1.", show_default="2/255"
    ),
]

# The destination

_SERVED = "state/model_repository, which `make serve` serves"

Repository = Annotated[
    str,
    typer.Option(
        help="Triton's model repository: a folder, or s3://bucket/prefix.",
        metavar="PATH|URL",
        envvar=REPOSITORY_VARIABLE,
        show_default=_SERVED,
    ),
]
RepositoryFolder = Annotated[
    str,
    typer.Argument(
        help="Triton's model repository, a folder.", metavar="PATH", envvar=REPOSITORY_VARIABLE, show_default=_SERVED
    ),
]
TritonAddresses = Annotated[
    list[str] | None,
    typer.Option(
        "--triton",
        help="gRPC endpoint of a Triton that serves the repository; all that are given load and verify the version. "
        "Repeatable, or with commas; dns:///NAME:PORT for all addresses of a name; https:// before it for TLS.",
        metavar="HOST:PORT",
        show_default="none: Triton serves it when it next loads the model",
    ),
]
TritonTimeout = Annotated[float, typer.Option("--timeout", min=1, help="Seconds that Triton may take to load a model.")]
Share = Annotated[
    float,
    typer.Option(
        min=0, max=1, help="Share of sessions that get the new version; below 1 it is on trial beside the serving one."
    ),
]
Force = Annotated[
    bool, typer.Option("--force", help="Accept a version whose figures are worse than those of the serving version.")
]
Once = Annotated[
    bool, typer.Option("--once", help="Publish nothing if the model has a version of this very file; say which.")
]
Replaces = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Publish only if this version serves now; 0: only if none does.",
        show_default="any version",
        metavar="VERSION",
    ),
]
MaxSlowdown = Annotated[
    float | None,
    typer.Option(
        min=0.1,
        help="Refuse a version that takes more than so many times as long in Triton as the one that serves.",
        show_default="not measured",
        metavar="FACTOR",
    ),
]
Wait = Annotated[float, typer.Option(min=0, help="Seconds to wait while another exporter writes to the repository.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts; errors, too.")]
Wide = Annotated[bool, typer.Option("--wide", help="Wrap no cell of the table to fit the terminal.")]


def address_of(repository: str) -> str:
    """Return the address of a repository; the default one is what ``gateway serve --local-triton`` serves here."""
    return repository or repository_from_environment()


def default_name(source: Path) -> str:
    """Return the default name of a model: that of its bundle or folder, or of the folder that holds its file."""
    if source.is_dir():
        return source.resolve().name
    return source.stem if source.suffix in {".zip", ".onnx", ".ts"} else source.resolve().parent.name


def spec_overrides(*, spacing: str, patch: str, axes: str, labels: str, licence: str) -> dict[str, Any]:
    """Return the fields of a spec that flags give.

    Raises:
        InvalidArgument: A flag cannot be parsed.
    """
    fields: dict[str, Any] = {}
    if spacing:
        fields.setdefault("patch", {})["spacing"] = _three("--spacing", spacing, float)
    if patch:
        fields.setdefault("patch", {})["size"] = _three("--patch", patch, int)
    if axes:
        fields["network"] = {"axes": axes.upper()}
    if labels:
        fields["labels"] = [name.strip() for name in labels.split(",")]
    if licence:
        fields["licence"] = licence
    return fields


def _three(flag: str, text: str, kind: type[int] | type[float]) -> list[int | float]:
    try:
        first, second, third = (kind(part) for part in text.split(","))
    except ValueError as error:
        raise InvalidArgument(f"{flag} takes three numbers x,y,z, as 96,96,64, got {text!r}") from error
    return [first, second, third]
