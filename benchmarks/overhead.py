"""What a prompt costs beyond Triton, on a CT of 512x512x256 voxels: six points, then a click.

Two measures: the whole call less Triton's own compute, as its statistics tell it before and after the call (nobody else
may use Triton meanwhile); and the whole call against the bare Triton call with the same tensor. Both are called in
turn, in one run, so that the figures hold on a noisy machine::

    make serve &
    python -m benchmarks.overhead                       # on the phantom CT
    python -m benchmarks.overhead ct.nii.gz label.nii.gz --label 5 --label 1
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import grpc
import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
import typer
from rich.console import Console
from rich.table import Table
from tritonclient.grpc import service_pb2, service_pb2_grpc

from benchmarks.cases import to_sitk
from sixpoint.client import Client, Session
from sixpoint.geometry import Geometry
from sixpoint.guidance import Guide, network_input
from sixpoint.mask import Mask
from sixpoint.phantom import make_phantom
from sixpoint.prompts import Click, ExtremePoints, Prompt
from sixpoint.roi import Roi
from sixpoint.spec import PARAMETER, ModelSpec
from sixpoint.volume import Volume

PHASES = ("queue", "preprocess", "inference", "postprocess", "encode")
SIZE = (512, 512, 256)
# The first calls warm caches on both sides, and the first one reduces the image.
WARMING = 3

Facts = dict[str, dict[str, float]]


@dataclass(frozen=True)
class BareTriton:
    """Triton without a gateway: one tensor in, one out, over its generated stub."""

    stub: Any
    model: str

    @classmethod
    def at(cls, url: str, model: str) -> BareTriton:
        """The Triton at host:port."""
        options = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
        return cls(service_pb2_grpc.GRPCInferenceServiceStub(grpc.insecure_channel(url, options)), model)

    def spec(self) -> ModelSpec:
        """The model as it describes itself."""
        config = self.stub.ModelConfig(service_pb2.ModelConfigRequest(name=self.model)).config
        return ModelSpec.from_json(config.parameters[PARAMETER].string_value)

    def compute(self) -> float:
        """Milliseconds that the model has computed since it was loaded."""
        found = self.stub.ModelStatistics(service_pb2.ModelStatisticsRequest(name=self.model)).model_stats
        return float(sum(version.inference_stats.compute_infer.ns for version in found)) / 1e6

    def call(self, tensor: npt.NDArray[Any], spec: ModelSpec) -> float:
        """Milliseconds of one call."""
        started = time.perf_counter()
        request = service_pb2.ModelInferRequest(model_name=self.model, raw_input_contents=[tensor.tobytes()])
        request.inputs.add(name=spec.input.name, datatype=spec.input.dtype, shape=[1, *tensor.shape])
        self.stub.ModelInfer(request)
        return (time.perf_counter() - started) * 1000


def main(
    image: Annotated[Path | None, typer.Argument(help="CT; without it, the phantom.")] = None,
    labels: Annotated[Path | None, typer.Argument(help="Its label image.")] = None,
    label: Annotated[list[int] | None, typer.Option(help="Number of a structure to outline; may be repeated.")] = None,
    repeats: Annotated[int, typer.Option(help="Calls of each kind.")] = 30,
    server: Annotated[str, typer.Option(envvar="SIXPOINT_SERVER", help="The gateway.")] = "127.0.0.1:50051",
    triton: Annotated[str, typer.Option(envvar="SIXPOINT_TRITON_URL", help="Triton behind it.")] = "127.0.0.1:8001",
    model: Annotated[str, typer.Option(help="The model.")] = "annotation",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare, and show where the time goes."""
    if image and labels:
        volume, truth = Volume.read(image), Volume.read(labels)
    else:
        phantom = make_phantom()
        volume, truth = phantom.image, phantom.labels
    volume, truth = _resampled(volume, sitk.sitkLinear, np.int16), _resampled(truth, sitk.sitkNearestNeighbor, np.uint8)
    bare = BareTriton.at(triton, model)
    results: dict[str, Facts] = {}
    with Client(server) as client:
        for number in label or [1]:
            with client.open_session(volume, model=model) as session:
                for kind, facts in _measure(session, bare, volume, truth.array == number, repeats).items():
                    results[f"label {number}, {kind}"] = facts
    if as_json:
        typer.echo(json.dumps(results, indent=1))
        return
    for name, facts in results.items():
        table = Table(name, "p50", "p95", box=None)
        for key, value in facts.items():
            unit = "" if key == "ratio" else " ms"
            table.add_row(key, f"{value['p50']:.2f}{unit}", f"{value['p95']:.2f}{unit}")
        Console().print(table)


def _measure(
    session: Session, bare: BareTriton, volume: Volume, truth: npt.NDArray[np.bool_], repeats: int
) -> dict[str, Facts]:
    """Six points and then a click, in turn with bare calls: what each of the two kinds of prompt takes."""
    points, spec = ExtremePoints.of_mask(truth), bare.spec()
    tensor = _tensor(volume, points, spec)
    rows: dict[str, list[dict[str, float]]] = {"points": [], "clicks": []}
    for _ in range(repeats + WARMING):
        alone = bare.call(tensor, spec)
        mask, row = _timed(session, bare, points)
        rows["points"].append({"bare Triton": alone, **row, "ratio": row["annotate"] / alone})
        _, row = _timed(session, bare, _click(truth, mask))
        rows["clicks"].append({"bare Triton": alone, **row, "ratio": row["annotate"] / alone})
    return {kind: _facts(some[WARMING:]) for kind, some in rows.items()}


def _timed(session: Session, bare: BareTriton, prompt: Prompt) -> tuple[Mask, dict[str, float]]:
    """One call through the gateway: its mask, and its milliseconds."""
    before = bare.compute()
    started = time.perf_counter()
    mask = session.annotate(prompt)
    whole = (time.perf_counter() - started) * 1000
    computed = bare.compute() - before
    phases = {name: getattr(mask.timings, name).total_seconds() * 1000 for name in PHASES}
    reply = whole - sum(phases.values())
    return mask, {"annotate": whole, **phases, "reply": reply, "beyond Triton's compute": whole - computed}


def _facts(rows: list[dict[str, float]]) -> Facts:
    columns = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    return {
        key: {"p50": round(float(np.median(v)), 2), "p95": round(float(np.percentile(v, 95)), 2)}
        for key, v in columns.items()
    }


def _click(truth: npt.NDArray[np.bool_], mask: Mask) -> Click:
    """A click in the midst of what was missed, or of the object where nothing was."""
    missed = truth & (mask.array == 0)
    voxels = np.argwhere(missed if missed.any() else truth)
    z, y, x = voxels[len(voxels) // 2].tolist()
    return Click((x, y, z))


def _resampled(volume: Volume, interpolator: int, dtype: npt.DTypeLike) -> Volume:
    """A volume on the benchmark's size, over the same part of the patient."""
    source = to_sitk(volume)
    spacing = [n * s / m for n, s, m in zip(source.GetSize(), source.GetSpacing(), SIZE, strict=True)]
    origin = source.TransformContinuousIndexToPhysicalPoint(
        [n / m / 2 - 0.5 for n, m in zip(source.GetSize(), SIZE, strict=True)]
    )
    # The last True: beyond the outermost centres their voxels repeat.
    result = sitk.Resample(
        source, SIZE, sitk.Transform(), interpolator, origin, spacing, source.GetDirection(), 0, sitk.sitkFloat32, True
    )
    geometry = Geometry(SIZE, tuple(spacing), tuple(origin), volume.geometry.direction)
    return Volume(np.rint(sitk.GetArrayFromImage(result)).astype(dtype), geometry)


def _tensor(volume: Volume, prompt: ExtremePoints, spec: ModelSpec) -> npt.NDArray[Any]:
    """The tensor that the gateway would send."""
    geometry = volume.geometry
    orientation = geometry.orientation
    points = orientation.index_to_canonical(prompt.to_index(geometry), size=geometry.size)
    roi = Roi.around(points, spacing=geometry.canonical().spacing, spec=spec.roi)
    box = [points.min(axis=0), points.max(axis=0)]
    guide = Guide.within(roi, box=box, extremes=points, size=geometry.canonical().size)
    return network_input(roi.extract(orientation.to_canonical(volume.array)), guide, spec.input)


if __name__ == "__main__":
    typer.run(main)
