"""``exporter export``."""

from __future__ import annotations

from exporter.cli import options
from exporter.cli.publish import publish
from exporter.graph.precision import NumericPrecision

__all__ = ["EPILOG", "export"]

# The \b keeps the line breaks.
EPILOG = """\b
Examples:
  exporter export runs/annotation/checkpoint.pt
  exporter export best.pt --spec spec.yaml --name liver --repository /srv/models --max-batch-size 4
  exporter export spleen_ct_segmentation/              # a MONAI bundle, or its .zip
  exporter export brain_bundle.zip --spacing 1,1,1 --axes RAS --labels tumour
  exporter export model.onnx --spec spec.yaml --precision fp16
  exporter export runs/parts/checkpoint.pt --precision int8 --calibrate DATASET
  exporter export clara_model/                         # config_aiaa.json and a TorchScript file"""


def export(
    source: options.Source,
    spec: options.Spec = None,
    name: options.ModelName = "",
    repository: options.Repository = "",
    spacing: options.Spacing = "",
    patch: options.Patch = "",
    axes: options.Axes = "",
    labels: options.Labels = "",
    licence: options.Licence = "",
    weights: options.Weights = None,
    trust_torchscript: options.TrustTorchscript = False,
    ignore: options.Ignore = None,
    precision: options.Precision = NumericPrecision.FP32,
    calibrate: options.Calibrate = None,
    least_dice: options.LeastDice = 0.97,
    image: options.Image = None,
    max_batch_size: options.MaxBatchSize = 8,
    tolerance: options.Tolerance = 2 / 255,
    force: options.Force = False,
    wait: options.Wait = 300.0,
    as_json: options.AsJson = False,
) -> None:
    """Export a trained model to ONNX, compare it with the original, and add it to a repository as the next version.

    Like publish, for a repository that no Triton serves yet.
    """
    publish(
        source,
        spec=spec,
        name=name,
        repository=repository,
        spacing=spacing,
        patch=patch,
        axes=axes,
        labels=labels,
        licence=licence,
        weights=weights,
        trust_torchscript=trust_torchscript,
        ignore=ignore,
        precision=precision,
        calibrate=calibrate,
        least_dice=least_dice,
        image=image,
        max_batch_size=max_batch_size,
        tolerance=tolerance,
        force=force,
        wait=wait,
        as_json=as_json,
    )
