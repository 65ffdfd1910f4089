"""What a prompt costs beyond Triton: the whole ``annotate`` call against the bare Triton call with the same tensor.

Both are called in turn, in one run, so that the ratio holds on a noisy machine::

    make serve &
    python -m benchmarks.overhead                       # on the phantom CT
    python -m benchmarks.overhead ct.nii.gz label.nii.gz --label 5
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import grpc
import numpy as np
import numpy.typing as npt
import typer
from rich.console import Console
from rich.table import Table
from tritonclient.grpc import service_pb2, service_pb2_grpc

from sixpoint.client import Client
from sixpoint.guidance import Guide, network_input
from sixpoint.phantom import make_phantom
from sixpoint.prompts import ExtremePoints
from sixpoint.roi import Roi
from sixpoint.spec import PARAMETER, ModelSpec
from sixpoint.volume import Volume

PHASES = ("queue", "preprocess", "inference", "postprocess", "encode")


class BareTriton:
    """Triton without a gateway: one tensor in, one out, over its generated stub."""

    def __init__(self, url: str, model: str) -> None:
        self._model = model
        options = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
        self._stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(grpc.insecure_channel(url, options))
        config = self._stub.ModelConfig(service_pb2.ModelConfigRequest(name=model)).config
        self.spec = ModelSpec.from_json(config.parameters[PARAMETER].string_value)

    def __call__(self, tensor: npt.NDArray[Any]) -> float:
        """Milliseconds of one call."""
        request = service_pb2.ModelInferRequest(model_name=self._model, raw_input_contents=[tensor.tobytes()])
        request.inputs.add(name=self.spec.input.name, datatype=self.spec.input.dtype, shape=[1, *tensor.shape])
        started = time.perf_counter()
        self._stub.ModelInfer(request)
        return (time.perf_counter() - started) * 1000


def main(
    image: Annotated[Path | None, typer.Argument(help="Image; without it, the phantom CT.")] = None,
    labels: Annotated[Path | None, typer.Argument(help="Its label image.")] = None,
    label: Annotated[int, typer.Option(help="Number of the structure to outline.")] = 1,
    repeats: Annotated[int, typer.Option(help="Calls of each kind.")] = 30,
    server: Annotated[str, typer.Option(envvar="SIXPOINT_SERVER", help="The gateway.")] = "127.0.0.1:50051",
    triton: Annotated[str, typer.Option(envvar="SIXPOINT_TRITON_URL", help="Triton behind it.")] = "127.0.0.1:8001",
    model: Annotated[str, typer.Option(help="The model.")] = "annotation",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare, and show where the time goes."""
    if image and labels:
        volume, truth = Volume.read(image), Volume.read(labels).array == label
    else:
        phantom = make_phantom()
        volume, truth = phantom.image, phantom.labels.array == label
    prompt = ExtremePoints.of_mask(truth)
    bare = BareTriton(triton, model)
    tensor = _tensor(volume, prompt, bare.spec)
    rows: list[dict[str, float]] = []
    with Client(server) as client, client.open_session(volume, model=model) as session:
        for _ in range(repeats + 3):
            alone = bare(tensor)
            started = time.perf_counter()
            mask = session.annotate(prompt)
            whole = (time.perf_counter() - started) * 1000
            phases = {name: getattr(mask.timings, name).total_seconds() * 1000 for name in PHASES}
            reply = whole - sum(phases.values())
            rows.append({"bare Triton": alone, "annotate": whole, **phases, "reply": reply, "ratio": whole / alone})
    # The first calls warm caches on both sides.
    columns = {key: np.array([row[key] for row in rows[3:]]) for key in rows[0]}
    facts = {
        key: {"p50": round(float(np.median(v)), 2), "p95": round(float(np.percentile(v, 95)), 2)}
        for key, v in columns.items()
    }
    if as_json:
        typer.echo(json.dumps(facts, indent=1))
        return
    table = Table("", "p50", "p95", box=None)
    for key, value in facts.items():
        unit = "" if key == "ratio" else " ms"
        table.add_row(key, f"{value['p50']:.2f}{unit}", f"{value['p95']:.2f}{unit}")
    Console().print(table)


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
