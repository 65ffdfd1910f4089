"""``exporter publish``."""

from __future__ import annotations

import contextlib
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from exporter.cli.console import clear_errors, out
from exporter.cli.options import AsJson, Precision, Repository, TensorRt, TritonAddress, TritonTimeout, Wait

__all__ = ["EPILOG", "publish"]

# The \b keeps the lines as they are.
EPILOG = """\b
Examples:
  exporter publish runs/annotation/checkpoint.pt --triton 127.0.0.1:8001
  exporter publish runs/liver/checkpoint.pt --image ct.nii.gz --share 0.1 --triton 127.0.0.1:8001
  exporter publish model_repository/annotation --repository s3://models/production"""


def publish(
    source: Annotated[Path, typer.Argument(help="A checkpoint, or the folder of an exported model.")],
    repository: Repository = "model_repository",
    triton: TritonAddress = None,
    name: Annotated[
        str, typer.Option(help="The model's name in Triton.", show_default="that of the source's folder")
    ] = "",
    spec: Annotated[
        Path | None,
        typer.Option(help="The checkpoint's description, YAML or JSON.", show_default="spec.yaml beside it"),
    ] = None,
    image: Annotated[
        Path | None,
        typer.Option(help="An image on which PyTorch, ONNX Runtime and Triton are compared.", show_default="a phantom"),
    ] = None,
    share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the sessions that are given the new version.")
    ] = 1.0,
    precision: Annotated[Precision, typer.Option(help="In what a checkpoint's network computes.")] = Precision.FP32,
    tensorrt: Annotated[
        TensorRt | None,
        typer.Option(
            help="Have ONNX Runtime run the model by TensorRT (accelerator), or build a TensorRT plan (plan).",
            show_default="neither",
        ),
    ] = None,
    max_batch_size: Annotated[int, typer.Option(min=1, help="Requests that Triton may run together.")] = 8,
    tolerance: Annotated[
        float,
        typer.Option(min=0, help="Largest difference to accept, in a probability of 0 to 1.", show_default="2/255"),
    ] = 2 / 255,
    timeout: TritonTimeout = 120.0,
    wait: Wait = 300.0,
    as_json: AsJson = False,
) -> None:
    """Publish a model: a new version beside the one that serves, tried through Triton, then given to the sessions.

    If anything fails, the old version goes on serving and the new one is gone.
    """
    with clear_errors(), contextlib.ExitStack() as stack:
        from exporter.model_config import Tuning
        from exporter.publishing import publish as put
        from exporter.registry import open_registry
        from exporter.release import prepare
        from exporter.tensorrt import refuse_plan
        from exporter.triton import Triton
        from sixpoint.volume import Volume

        if tensorrt is TensorRt.PLAN:
            refuse_plan()
        registry = open_registry(repository)
        server = stack.enter_context(Triton(triton, timeout=timeout)) if triton else None
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="sixpoint-publish-"))
        release = prepare(
            source,
            spec=spec,
            name=name,
            image=Volume.read(image) if image else None,
            max_batch_size=max_batch_size,
            tolerance=tolerance,
            folder=Path(folder),
            half=precision is Precision.FP16,
        )
        if tensorrt is TensorRt.ACCELERATOR:
            release = replace(release, config=replace(release.config, tuning=Tuning(tensorrt=True)))
        published = put(registry, release, triton=server, share=share, wait=wait)
        report = published.parity
        if as_json:
            content = {"name": release.config.name, "version": published.version, "parity": report.model_dump()}
            out.print_json(json.dumps(content))
            return
        state = "serves" if share == 1 else f"is on trial for {share:.0%} of the sessions"
        out.print(f"{release.config.name} version {published.version} {state}")
        for what, found in (("ONNX Runtime", report.onnxruntime), ("Triton", report.triton)):
            if found is not None:
                out.print(
                    f"{what} against {report.reference} ({report.sample}): largest difference {found.largest:.5f} of a "
                    f"probability ({tolerance:.5f} allowed), Dice {found.dice:.4f}"
                )
