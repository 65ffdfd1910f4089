"""``exporter export``."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from exporter.cli.console import clear_errors, out

__all__ = ["EPILOG", "export"]

# The \b keeps the lines as they are.
EPILOG = """\b
Examples:
  exporter export runs/annotation/checkpoint.pt
  exporter export best.pt --spec spec.yaml --name liver --repository /srv/models --max-batch-size 4"""


def export(
    checkpoint: Annotated[Path, typer.Argument(help="Weights from torch.save: a state dict, or one in 'state_dict'.")],
    spec: Annotated[
        Path | None,
        typer.Option(help="The model's description, YAML or JSON.", show_default="spec.yaml beside the checkpoint"),
    ] = None,
    name: Annotated[
        str, typer.Option(help="The model's name in Triton.", show_default="that of the checkpoint's folder")
    ] = "",
    repository: Annotated[Path, typer.Option(help="Triton's model repository.")] = Path("model_repository"),
    max_batch_size: Annotated[int, typer.Option(min=1, help="Requests that Triton may run together.")] = 8,
    tolerance: Annotated[
        float,
        typer.Option(
            min=0, help="Largest difference to PyTorch to accept, in a probability of 0 to 1.", show_default="2/255"
        ),
    ] = 2 / 255,
) -> None:
    """Export a checkpoint to ONNX, compare it with PyTorch, and add it to a model repository as the next version."""
    with clear_errors():
        from exporter.build import build, read_spec
        from exporter.repository import check_name, publish

        description = read_spec(spec or checkpoint.with_name("spec.yaml"))
        name = name or checkpoint.resolve().parent.name
        check_name(name)
        with tempfile.TemporaryDirectory(prefix="sixpoint-export-") as folder:
            built = build(
                checkpoint,
                description,
                name=name,
                folder=Path(folder),
                max_batch_size=max_batch_size,
                tolerance=tolerance,
            )
            version = publish(built.path, built.config, repository=repository)
            size = built.path.stat().st_size / 2**20
        out.print(f"{name} version {version.name}: {version / 'model.onnx'} ({size:.1f} MiB)")
        out.print(f"largest difference to PyTorch: {built.difference:.5f} of a probability ({tolerance:.5f} allowed)")
