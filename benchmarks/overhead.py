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
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import grpc
import numpy as np
import numpy.typing as npt
import typer
from rich.console import Console
from rich.table import Table
from tritonclient.grpc import service_pb2, service_pb2_grpc

from benchmarks.figures import Figure
from benchmarks.images.examples import Example, large_ct, read_example, tensor
from sixpoint.client import Client, Session
from sixpoint.model_spec import SPEC_PARAMETER, ModelSpec
from sixpoint.prompts import Prompt

PHASES = ("queue", "preprocess", "inference", "postprocess", "encode", "store")
BEYOND = "beyond Triton's compute"
BARE_BEYOND = "bare Triton beyond its compute"
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
        return ModelSpec.from_json(config.parameters[SPEC_PARAMETER].string_value)

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
    example = large_ct(read_example(image, labels))
    results = measure(example, label or [1], server=server, triton=triton, model=model, repeats=repeats)
    if as_json:
        typer.echo(json.dumps(results, indent=1))
        return
    for name, facts in results.items():
        table = Table(name, "p50", "p95", box=None)
        for key, value in facts.items():
            unit = "" if key == "ratio" else " ms"
            table.add_row(key, f"{value['p50']:.2f}{unit}", f"{value['p95']:.2f}{unit}")
        Console().print(table)


def measure(
    example: Example, numbers: Sequence[int], *, server: str, triton: str, model: str = "annotation", repeats: int = 30
) -> dict[str, Facts]:
    """Where the time of a prompt goes, by structure and kind of prompt.

    Args:
        example: The image.
        numbers: Of the structures to outline.
        server: The gateway, host:port.
        triton: Triton behind it, host:port.
        model: Name of the model.
        repeats: Calls of each kind.
    """
    bare = BareTriton.at(triton, model)
    results: dict[str, Facts] = {}
    with Client(server) as client:
        for number in numbers:
            with client.open_session(example.volume, model=model) as session:
                for kind, facts in _measure(session, bare, example, number, repeats).items():
                    results[f"label {number}, {kind}"] = facts
    return results


def figures(results: dict[str, Facts]) -> list[Figure]:
    """What was found, beside the aims."""
    found = []
    for name, facts in results.items():
        beyond = facts[BEYOND]
        found += [
            Figure(what=f"{name}: beyond Triton's compute, p50", got=beyond["p50"], unit="ms", most=15),
            Figure(what=f"{name}: beyond Triton's compute, p95", got=beyond["p95"], unit="ms", most=40),
            Figure(what=f"{name}: over the bare call of Triton, p50", got=facts["ratio"]["p50"], most=1.15),
            Figure(what=f"{name}: the whole call, p50", got=facts["annotate"]["p50"], unit="ms"),
            Figure(what=f"{name}: the bare call, p50", got=facts["bare Triton"]["p50"], unit="ms"),
            Figure(
                what=f"{name}: the bare call beyond Triton's compute, p50", got=facts[BARE_BEYOND]["p50"], unit="ms"
            ),
        ]
    return found


def _measure(session: Session, bare: BareTriton, example: Example, number: int, repeats: int) -> dict[str, Facts]:
    """Six points and then a click, in turn with bare calls: what each of the two kinds of prompt takes."""
    points, spec = example.prompt(number), bare.spec()
    clicks = example.clicks(number)
    made = tensor(example.volume, points, spec)
    rows: dict[str, list[dict[str, float]]] = {"points": [], "clicks": []}
    for _ in range(repeats + WARMING):
        for kind, prompt in (("points", points), ("clicks", next(clicks))):
            computed = bare.compute()
            alone = bare.call(made, spec)
            bare_beyond = alone - (bare.compute() - computed)
            row = _timed(session, bare, prompt)
            rows[kind].append({"bare Triton": alone, BARE_BEYOND: bare_beyond, **row, "ratio": row["annotate"] / alone})
    return {kind: _facts(some[WARMING:]) for kind, some in rows.items()}


def _timed(session: Session, bare: BareTriton, prompt: Prompt) -> dict[str, float]:
    """The milliseconds of one call through the gateway."""
    before = bare.compute()
    started = time.perf_counter()
    mask = session.annotate(prompt)
    whole = (time.perf_counter() - started) * 1000
    computed = bare.compute() - before
    phases = {name: getattr(mask.timings, name).total_seconds() * 1000 for name in PHASES}
    return {"annotate": whole, **phases, "reply": whole - sum(phases.values()), BEYOND: whole - computed}


def _facts(rows: list[dict[str, float]]) -> Facts:
    columns = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    return {
        key: {"p50": round(float(np.median(v)), 2), "p95": round(float(np.percentile(v, 95)), 2)}
        for key, v in columns.items()
    }


if __name__ == "__main__":
    typer.run(main)
