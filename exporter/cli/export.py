"""``exporter export``."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from exporter.cli.console import clear_errors, out
from sixpoint.errors import InvalidArgument

__all__ = ["EPILOG", "export", "given_of", "name_of"]

# The \b keeps the lines as they are.
EPILOG = """\b
Examples:
  exporter export runs/annotation/checkpoint.pt
  exporter export best.pt --spec spec.yaml --name liver --repository /srv/models --max-batch-size 4
  exporter export spleen_ct_segmentation/              # a MONAI bundle, or its .zip
  exporter export brain_bundle.zip --spacing 1,1,1 --axes RAS --labels tumour
  exporter export model.onnx --spec spec.yaml
  exporter export clara_model/                         # config_aiaa.json and a TorchScript file"""


def export(
    source: Annotated[
        Path,
        typer.Argument(
            help="Weights from torch.save; a MONAI bundle (folder or .zip); an ONNX or TorchScript file; a folder with "
            "Clara's config_aiaa.json."
        ),
    ],
    spec: Annotated[
        Path | None,
        typer.Option(
            help="The model's description, YAML or JSON; of a bundle, the part that it does not say itself.",
            show_default="spec.yaml beside the file",
        ),
    ] = None,
    name: Annotated[
        str, typer.Option(help="The model's name in Triton.", show_default="the folder's, or the bundle's")
    ] = "",
    repository: Annotated[Path, typer.Option(help="Triton's model repository.")] = Path("model_repository"),
    spacing: Annotated[str, typer.Option(help="Millimetres along the patient's x,y,z that the network sees.")] = "",
    patch: Annotated[str, typer.Option(help="Voxels along the patient's x,y,z that the network sees at once.")] = "",
    axes: Annotated[str, typer.Option(help="Where the network's axes lead, as RAS.")] = "",
    labels: Annotated[str, typer.Option(help="Names of the labels 1, 2, ..., by commas.")] = "",
    licence: Annotated[str, typer.Option(help="Of the model, as Apache-2.0.")] = "",
    weights: Annotated[Path | None, typer.Option(help="Take this file of weights instead of the bundle's.")] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="A bundle's transform to leave out; repeatable.")] = None,
    max_batch_size: Annotated[int, typer.Option(min=1, help="Requests that Triton may run together.")] = 8,
    tolerance: Annotated[
        float,
        typer.Option(
            min=0, help="Largest difference to PyTorch to accept, in a probability of 0 to 1.", show_default="2/255"
        ),
    ] = 2 / 255,
) -> None:
    """Export a trained model to ONNX, compare it with the original, and add it to a repository as the next version."""
    with clear_errors():
        given = given_of(spacing=spacing, patch=patch, axes=axes, labels=labels, licence=licence)
        from exporter.repository import check_name, publish
        from exporter.sources import Options, build_source

        name = name or name_of(source)
        check_name(name)
        options = Options(
            spec=spec,
            given=given,
            weights=weights,
            ignore=tuple(ignore or ()),
            max_batch_size=max_batch_size,
            tolerance=tolerance,
        )
        with tempfile.TemporaryDirectory(prefix="sixpoint-export-") as folder:
            built, notes = build_source(source, options, name=name, folder=Path(folder))
            version = publish(built.path, built.config, repository=repository)
            size = built.path.stat().st_size / 2**20
        out.print(f"{name} version {version.name}: {version / 'model.onnx'} ({size:.1f} MiB)")
        out.print(f"largest difference to PyTorch: {built.difference:.5f} of a probability ({tolerance:.5f} allowed)")
        for note in notes:
            out.print(f"note: {note}", markup=False)


def name_of(source: Path) -> str:
    """A model's name, from where it lies: the bundle's or folder's own, or that of a file's folder."""
    if source.is_dir():
        return source.resolve().name
    return source.stem if source.suffix in {".zip", ".onnx", ".ts"} else source.resolve().parent.name


def given_of(*, spacing: str, patch: str, axes: str, labels: str, licence: str) -> dict[str, Any]:
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
