"""``exporter pull``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

from exporter.cli.console import clear_errors, err, out
from exporter.cli.options import AsJson

__all__ = ["EPILOG", "pull"]

# The \b keeps the line breaks.
EPILOG = """\b
Examples:
  exporter pull monai:spleen_ct_segmentation@0.5.4     # MONAI's model zoo
  exporter pull ngc:nvidia/monaitoolkit/monai_wholebody_ct_segmentation@0.1.9
  exporter pull hf:MONAI/spleen_ct_segmentation@0.5.4
  exporter pull https://models.example.org/liver.zip --sha256 9f86...
  exporter export "$(exporter pull monai:spleen_ct_segmentation@0.5.4 --path)\""""


def pull(
    source: Annotated[str, typer.Argument(help="The model and its host; see the examples.")],
    cache: Annotated[Path, typer.Option(envvar="SIXPOINT_MODEL_CACHE", help="Cache folder for models.")] = Path(
        "~/.cache/sixpoint/models"
    ),
    sha256: Annotated[str, typer.Option(help="Expected SHA-256 of the file.", show_default="any")] = "",
    offline: Annotated[bool, typer.Option("--offline", help="Use the cache only.")] = False,
    ngc: Annotated[
        str, typer.Option(envvar="SIXPOINT_NGC_URL", help="URL of NGC or a mirror.")
    ] = "https://api.ngc.nvidia.com",
    hugging_face: Annotated[
        str, typer.Option(envvar="SIXPOINT_HUGGING_FACE_URL", help="URL of the Hugging Face Hub or a mirror.")
    ] = "https://huggingface.co",
    only_path: Annotated[bool, typer.Option("--path", help="Print the path only.")] = False,
    as_json: AsJson = False,
) -> None:
    """Download a model into a cache folder, check it, and print its licence; none of its code runs."""
    with clear_errors():
        from exporter.hub.pull import HubUrls
        from exporter.hub.pull import pull as pull_model

        columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
            task = bar.add_task("")
            pulled = pull_model(
                source,
                cache=cache.expanduser(),
                digest=sha256,
                offline=offline,
                hosts=HubUrls(ngc.rstrip("/"), hugging_face.rstrip("/")),
                progress=lambda received, total: bar.update(task, completed=received, total=total or None),
            )
    if as_json:
        out.print_json(json.dumps(pulled.to_dict()))
    elif only_path:
        out.print(pulled.path, markup=False)
    else:
        out.print(f"{pulled.source}: {pulled.path}", markup=False)
        out.print(f"licence: {pulled.licence}", markup=False)
        for name, digest in pulled.sha256.items():
            out.print(f"{digest}  {name}", markup=False)
