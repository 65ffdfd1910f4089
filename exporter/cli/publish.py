"""``exporter publish``."""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporter.cli import options
from exporter.cli.console import clear_errors, out
from exporter.graph.precision import NumericPrecision

if TYPE_CHECKING:
    from exporter.publishing.prepared import PreparedModel
    from exporter.publishing.publish import Published
    from exporter.publishing.status import VersionStatus
    from exporter.sources.options import ExportOptions

__all__ = ["EPILOG", "publish"]

# The \b keeps the line breaks.
EPILOG = """\b
Examples:
  exporter publish runs/annotation/checkpoint.pt --triton 127.0.0.1:8001
  exporter publish runs/liver/checkpoint.pt --image ct.nii.gz --share 0.1 --triton 127.0.0.1:8001
  exporter publish runs/liver/checkpoint.pt --force          # although its figures are worse
  exporter publish runs/liver/checkpoint.pt --once           # nothing, if it was published before
  exporter publish spleen_ct_segmentation.zip --precision fp16 --triton 127.0.0.1:8001
  exporter publish runs/annotation/checkpoint.pt --precision int8 --calibrate DATASET --triton 127.0.0.1:8001
  exporter publish runs/liver/checkpoint.pt --name liver-tensorrt --tensorrt plan --triton 127.0.0.1:8001
  exporter publish model_repository/annotation --repository s3://models/production"""


def publish(
    source: options.Source,
    spec: options.Spec = None,
    name: options.ModelName = "",
    repository: options.Repository = "",
    triton: options.TritonAddresses = None,
    share: options.Share = 1.0,
    force: options.Force = False,
    once: options.Once = False,
    replaces: options.Replaces = None,
    max_slowdown: options.MaxSlowdown = None,
    spacing: options.Spacing = "",
    patch: options.Patch = "",
    axes: options.Axes = "",
    labels: options.Labels = "",
    licence: options.Licence = "",
    weights: options.Weights = None,
    trust_torchscript: options.TrustTorchscript = False,
    ignore: options.Ignore = None,
    precision: options.PublishPrecision = None,
    calibrate: options.Calibrate = None,
    least_dice: options.LeastDice = 0.97,
    tensorrt: options.UseTensorRt = None,
    image: options.Image = None,
    max_batch_size: options.MaxBatchSize = 8,
    tolerance: options.Tolerance = 2 / 255,
    timeout: options.TritonTimeout = 120.0,
    wait: options.Wait = 300.0,
    as_json: options.AsJson = False,
) -> None:
    """Publish a model: a new version beside the one that serves, verified in Triton, then given to sessions.

    On any failure the old version goes on serving and the new one is removed. One with worse figures is refused.
    """
    with clear_errors():
        _run(
            source,
            _export_options(
                spec=spec,
                overrides=options.spec_overrides(
                    spacing=spacing, patch=patch, axes=axes, labels=labels, licence=licence
                ),
                weights=weights,
                trust_torchscript=trust_torchscript,
                ignore=tuple(ignore or ()),
                max_batch_size=max_batch_size,
                tolerance=tolerance,
                precision=precision or NumericPrecision.FP32,
                calibrate=calibrate,
                least_dice=least_dice,
            ),
            name=name or options.default_name(source),
            repository=options.address_of(repository),
            triton=triton,
            timeout=timeout,
            share=share,
            force=force,
            once=once,
            replaces=replaces,
            max_slowdown=max_slowdown,
            tensorrt=tensorrt,
            half=precision is not NumericPrecision.FP32,
            image=image,
            wait=wait,
            as_json=as_json,
        )


def _export_options(**fields: Any) -> ExportOptions:
    from exporter.sources.options import ExportOptions

    return ExportOptions(**fields)


def _run(
    source: Path,
    export_options: ExportOptions,
    *,
    name: str,
    repository: str,
    triton: list[str] | None,
    timeout: float,
    share: float,
    force: bool,
    once: bool,
    replaces: int | None,
    max_slowdown: float | None,
    tensorrt: options.TensorRt | None,
    half: bool,
    image: Path | None,
    wait: float,
    as_json: bool,
) -> None:
    from exporter.publishing.prepare import prepare
    from exporter.publishing.publish import check_share
    from exporter.publishing.publish import publish as publish_model
    from exporter.publishing.status import find_published
    from exporter.publishing.tensorrt import build_plan, find_builder, with_accelerator
    from exporter.publishing.triton import Triton
    from exporter.repository.card import CARD, CARD_JSON
    from exporter.repository.config import FILE_NAME
    from exporter.repository.open import open_repository
    from exporter.repository.view import read_config, serving_version
    from sixpoint.io.output_files import check_not_inputs
    from sixpoint.volume import Volume

    if "://" not in repository:
        written = (Path(repository, name, file) for file in (FILE_NAME, CARD, CARD_JSON))
        # A folder is a model that is exported again, beside its other versions.
        read = (None if source.is_dir() else source, export_options.spec, export_options.weights, image)
        check_not_inputs(written, read)

    # First, since it fails at once on a machine without a GPU.
    builder = find_builder() if tensorrt is options.TensorRt.PLAN else None
    models = open_repository(repository)
    if once and (present := find_published(models, name, source, precision=export_options.precision, wait=wait)):
        _print_present(name, present, as_json=as_json)
        return
    # Publishing checks this again under the repository's lock, but an export takes minutes.
    config = read_config(models, name)
    check_share(models, name, share, present=serving_version(models, config) if config else None)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(Triton(",".join(triton), timeout=timeout)) if triton else None
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sixpoint-export-")))
        volume = Volume.read(image) if image else None
        prepared = prepare(source, export_options, name=name, folder=folder, image=volume)
        if tensorrt is options.TensorRt.ACCELERATOR:
            prepared = with_accelerator(prepared)
        if builder is not None:
            prepared = build_plan(models, prepared, builder, folder=folder / "plan", half=half)
        published = publish_model(
            models,
            prepared,
            triton=server,
            share=share,
            force=force,
            wait=wait,
            replaces=replaces,
            max_slowdown=max_slowdown,
        )
        if as_json:
            _print_json(prepared, published)
        else:
            _print_text(prepared, published, repository=repository, share=share, verified=server is not None)


def _print_present(name: str, present: VersionStatus, *, as_json: bool) -> None:
    """Print which version was made of the source before."""
    note = f"version {present.version} was published of this file before, and is {present.state}: nothing was published"
    if not as_json:
        out.print(f"{name} {note}", markup=False)
        return
    engine, parity = present.record.engine, present.parity
    content = {
        "name": name,
        "version": present.version,
        "notes": [note],
        "engine": engine and engine.model_dump(),
        "parity": parity and parity.model_dump(),
        "figures": None,
        "speed": None,
    }
    out.print_json(json.dumps(content))


def _print_json(prepared: PreparedModel, published: Published) -> None:
    content = {
        "name": prepared.config.name,
        "version": published.version,
        "notes": prepared.notes,
        "engine": prepared.engine and prepared.engine.model_dump(),
        "parity": published.parity.model_dump(),
        "figures": published.figures and {**published.figures.model_dump(), "worse": published.figures.worse},
        "speed": published.speed and published.speed.model_dump(),
    }
    out.print_json(json.dumps(content))


def _print_text(
    prepared: PreparedModel, published: Published, *, repository: str, share: float, verified: bool
) -> None:
    """Print what was published, where it lies, how its forms agree, and notes."""
    from exporter.graph.model_files import model_files

    name, report = prepared.config.name, published.parity
    state = "serves" if share == 1 else f"is on trial for {share:.0%} of the sessions"
    size = sum(file.stat().st_size for file in model_files(prepared.model)) / 2**20
    out.print(f"{name} version {published.version} {state}{'' if verified else ' when Triton next loads it'}")
    out.print(f"{repository}/{name}/{published.version}/{prepared.model.name} ({size:.1f} MiB)", markup=False)
    quantised = report.least_dice is not None
    allowed = "" if quantised else f" ({report.tolerance:.5f} allowed)"
    required = f" ({report.least_dice:.4f} required)" if quantised else ""
    for form, reference, agreement in (
        ("ONNX Runtime", report.reference, report.onnxruntime),
        ("Triton", "onnxruntime" if quantised else report.reference, report.triton),
    ):
        if agreement is not None:
            out.print(
                f"{form} against {reference} ({report.sample}): largest difference {agreement.largest:.5f} of a "
                f"probability{allowed}, Dice {agreement.dice:.4f}{required}"
            )
    for line in _figures(prepared, published):
        out.print(line, markup=False)
    if published.speed is not None:
        out.print(f"{published.speed.new:.4g} s in Triton, {published.speed.serving:.4g} s before", markup=False)
    if prepared.engine is not None and not verified:
        out.print("note: the TensorRT plan was not verified: give --triton to compare its answers")
    for note in prepared.notes:
        out.print(f"note: {note}", markup=False)


def _figures(prepared: PreparedModel, published: Published) -> list[str]:
    """Return the lines about the model's figures beside those of the version that served."""
    if published.figures is not None:
        return published.figures.lines()
    if prepared.config.spec is not None and not prepared.config.spec.metrics:
        return ["figures: its spec has none, so that nothing says how good the model is"]
    return []
