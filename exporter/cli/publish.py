"""``exporter publish``."""

from __future__ import annotations

import contextlib
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from exporter.cli import options
from exporter.cli.console import clear_errors, out

__all__ = ["EPILOG", "publish"]

# The \b keeps the lines as they are.
EPILOG = """\b
Examples:
  exporter publish runs/annotation/checkpoint.pt --triton 127.0.0.1:8001
  exporter publish runs/liver/checkpoint.pt --image ct.nii.gz --share 0.1 --triton 127.0.0.1:8001
  exporter publish spleen_ct_segmentation.zip --precision fp16 --triton 127.0.0.1:8001
  exporter publish runs/annotation/checkpoint.pt --precision int8 --calibrate DATASET --triton 127.0.0.1:8001
  exporter publish runs/liver/checkpoint.pt --name liver-tensorrt --tensorrt plan --triton 127.0.0.1:8001
  exporter publish model_repository/annotation --repository s3://models/production"""


def publish(
    source: options.Source,
    spec: options.Spec = None,
    name: options.ModelName = "",
    repository: options.Repository = "model_repository",
    triton: options.TritonAddress = None,
    share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the sessions that are given the new version.")
    ] = 1.0,
    spacing: options.Spacing = "",
    patch: options.Patch = "",
    axes: options.Axes = "",
    labels: options.Labels = "",
    licence: options.Licence = "",
    weights: options.Weights = None,
    ignore: options.Ignore = None,
    precision: Annotated[
        options.NumericPrecision | None,
        typer.Option(
            help="In what the network computes; int8 needs --calibrate.", show_default="fp32; a TensorRT plan: fp16"
        ),
    ] = None,
    calibrate: options.Calibrate = None,
    least_dice: options.LeastDice = 0.97,
    tensorrt: Annotated[
        options.TensorRt | None,
        typer.Option(
            help="Have ONNX Runtime run the model by TensorRT (accelerator), or build a TensorRT plan (plan), on the "
            "GPU that is to run it and with trtexec of the Triton that serves.",
            show_default="neither",
        ),
    ] = None,
    image: options.Image = None,
    max_batch_size: options.MaxBatchSize = 8,
    tolerance: options.Tolerance = 2 / 255,
    timeout: options.TritonTimeout = 120.0,
    wait: options.Wait = 300.0,
    as_json: options.AsJson = False,
) -> None:
    """Publish a model: a new version beside the one that serves, tried through Triton, then given to the sessions.

    If anything fails, the old version goes on serving and the new one is gone.
    """
    with clear_errors(), contextlib.ExitStack() as stack:
        given = options.spec_overrides(spacing=spacing, patch=patch, axes=axes, labels=labels, licence=licence)
        from exporter.graph.external_data import model_files
        from exporter.publishing.prepare import prepare
        from exporter.publishing.publish import publish as put
        from exporter.publishing.tensorrt import find_builder
        from exporter.publishing.triton import Triton
        from exporter.repository.config import ExecutionConfig
        from exporter.repository.layout import require_same_interface
        from exporter.repository.open import open_repository
        from exporter.repository.view import read_config
        from exporter.sources.dispatch import ExportOptions
        from sixpoint.volume import Volume

        builder = find_builder() if tensorrt is options.TensorRt.PLAN else None
        models = open_repository(repository)
        server = stack.enter_context(Triton(triton, timeout=timeout)) if triton else None
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="sixpoint-export-"))
        release = prepare(
            source,
            ExportOptions(
                spec=spec,
                overrides=given,
                weights=weights,
                ignore=tuple(ignore or ()),
                max_batch_size=max_batch_size,
                tolerance=tolerance,
                precision=(precision or options.NumericPrecision.FP32).value,
                calibrate=calibrate,
                least_dice=least_dice,
            ),
            name=name or options.default_name(source),
            folder=Path(folder),
            image=Volume.read(image) if image else None,
        )
        if tensorrt is options.TensorRt.ACCELERATOR:
            release = replace(release, config=replace(release.config, execution=ExecutionConfig(tensorrt=True)))
        if builder is not None:
            release = replace(release, config=replace(release.config, backend="tensorrt"))
            # Asked again under the repository's lock; but the engine takes minutes.
            old = read_config(models, release.config.name)
            if old is not None:
                require_same_interface(old, release.config)
            work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sixpoint-plan-")))
            release = builder.build(release, work, half=precision is not options.NumericPrecision.FP32)
        published = put(models, release, triton=server, share=share, wait=wait)
        model, report = release.config.name, published.parity
        if as_json:
            content = {"name": model, "version": published.version, "notes": release.notes}
            engine = release.engine and release.engine.model_dump()
            out.print_json(json.dumps({**content, "engine": engine, "parity": report.model_dump()}))
            return
        state = "serves" if share == 1 else f"is on trial for {share:.0%} of the sessions"
        size = sum(file.stat().st_size for file in model_files(release.model)) / 2**20
        out.print(f"{model} version {published.version} {state}{'' if server else ' when Triton next loads it'}")
        out.print(f"{repository}/{model}/{published.version}/{release.model.name} ({size:.1f} MiB)", markup=False)
        inner = report.reference if report.least_dice is None else "onnxruntime"
        allowed = f" ({tolerance:.5f} allowed)" if report.least_dice is None else ""
        asked = "" if report.least_dice is None else f" ({report.least_dice:.4f} asked for)"
        for what, other, found in (
            ("ONNX Runtime", report.reference, report.onnxruntime),
            ("Triton", inner, report.triton),
        ):
            if found is not None:
                out.print(
                    f"{what} against {other} ({report.sample}): largest difference {found.largest:.5f} of a "
                    f"probability{allowed}, Dice {found.dice:.4f}{asked}"
                )
        if release.engine is not None and server is None:
            out.print("note: the TensorRT plan has answered nobody yet: only with --triton is it compared")
        for note in release.notes:
            out.print(f"note: {note}", markup=False)
