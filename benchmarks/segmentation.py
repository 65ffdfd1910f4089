"""Overhead of the sliding window over the network, and the memory for a large image.

Throughput: an image is segmented through the gateway, then its patches go through onnxruntime one after the other, then
through Triton without a gateway, as many at once. The three alternate within one run, so that the ratios are valid on a
noisy machine. Memory: the gateway's core segments a CT of 512x512x800 voxels into five labels in another process, with
a network that answers immediately::

    python -m benchmarks.segmentation           # servers are started for it and stopped after it
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from benchmarks.figures import Figure, as_json, as_markdown, p50
from benchmarks.servers.local_servers import TRITON_ENVIRONMENT, running
from gateway.core.access import Principal
from gateway.core.images import StoredImage
from gateway.core.runtime import Admission, Catalog, Deadline, InferenceResult, Model
from gateway.core.segmentation.events import SegmentationSummary
from gateway.core.segmentation.segmenter import Segmenter
from gateway.core.segmentation.sliding_window import SlidingWindow
from gateway.settings import Settings
from gateway.triton.client import TritonClient
from sixpoint.client import Client
from sixpoint.geometry import Geometry
from sixpoint.model_spec import SPEC_PARAMETER, ImageChannel, InputSpec, Intensity, PatchSpec, SegmentationSpec
from sixpoint.phantom import make_phantom
from sixpoint.preprocessing import Roi, volume_input
from sixpoint.volume import Volume

__all__ = [
    "MODEL",
    "ask_triton",
    "figures",
    "measure_memory",
    "measure_throughput",
    "patches_of",
    "phantom_piece",
    "shipped_spec",
]

MODEL = "segmentation_hippocampus"
"""Model to segment with."""
_REPOSITORY = Path(__file__).parent.parent / "model_repository"
_SIZE = (512, 512, 800)
_LABELS = 5
_GIB = 2**30


def main(
    repeats: Annotated[int, typer.Option(min=1, help="Segmentations, each beside a bare run.")] = 10,
    environment: Annotated[
        Path, typer.Option(envvar="SIXPOINT_TRITON_ENVIRONMENT", help="Where Triton is installed.")
    ] = TRITON_ENVIRONMENT,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the figures here, as JSON.")] = None,
) -> None:
    """Start Triton and a gateway, measure, and stop both; print a table in Markdown."""
    with running(model=MODEL, environment=environment) as running_servers:
        ratios = measure_throughput(server=running_servers.gateway, triton=running_servers.triton, repeats=repeats)
    measured = figures(ratios, measure_memory())
    typer.echo(as_markdown(measured))
    if json_file is not None:
        json_file.write_text(json.dumps(as_json(measured), indent=1))


def measure_throughput(*, server: str, triton: str, repeats: int = 10) -> list[dict[str, float]]:
    """Alternate a segmentation through the gateway with its patches through onnxruntime and through Triton.

    Args:
        server: Address of the gateway, host:port.
        triton: Address of the Triton behind it, host:port.
        repeats: Number of repetitions, after one that warms up.

    Returns:
        Number of patches, and seconds of the whole call, of its patches, of onnxruntime and of Triton, per repetition.
    """
    volume, spec = phantom_piece(), shipped_spec()
    patches = patches_of(volume, spec)
    session = _onnx_session()
    rows = []
    with Client(server) as client:
        client.upload(volume)
        for _ in range(repeats + 1):
            started = time.perf_counter()
            result = client.segment(volume, model=MODEL)
            whole = time.perf_counter() - started
            started = time.perf_counter()
            for patch in patches:
                session.run([spec.output.name], {spec.input.name: patch[None]})
            bare = time.perf_counter() - started
            started = time.perf_counter()
            asyncio.run(ask_triton(triton, patches, spec))
            alone = time.perf_counter() - started
            window = result.timings.inference.total_seconds()
            rows.append(
                {"patches": float(len(patches)), "whole": whole, "window": window, "bare": bare, "triton": alone}
            )
    return rows[1:]


def measure_memory() -> dict[str, float]:
    """Segment a large CT in another process; return peak memory and memory before it in GiB, and seconds."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(_segment_large).result()


def figures(rows: Sequence[dict[str, float]], memory: dict[str, float]) -> list[Figure]:
    """Convert the measurements to figures with limits."""
    return [
        Figure(name="sliding window: patches", value=rows[0]["patches"]),
        Figure(
            name="sliding window: throughput over bare onnxruntime's, p50",
            value=p50([row["bare"] / row["window"] for row in rows]),
            minimum=0.95,
        ),
        Figure(
            name="sliding window: throughput over bare Triton's, p50",
            value=p50([row["triton"] / row["window"] for row in rows]),
        ),
        Figure(
            name="sliding window: the whole call's over bare onnxruntime's, p50",
            value=p50([row["bare"] / row["whole"] for row in rows]),
        ),
        Figure(name="sliding window: bare onnxruntime, p50", value=p50([row["bare"] for row in rows]), unit="s"),
        Figure(name="512x512x800 into 5 labels: peak memory", value=memory["peak"], unit="GiB", maximum=4 * 1e9 / _GIB),
        Figure(name="512x512x800 into 5 labels: before it", value=memory["before"], unit="GiB"),
        Figure(name="512x512x800 into 5 labels: without the network", value=memory["seconds"], unit="s"),
    ]


def phantom_piece() -> Volume:
    """Cut a part of the phantom CT that takes four windows along x, two along y and three along z."""
    array = make_phantom().image.array
    size = (100, 84, 80)
    tiled = np.tile(array, [-(-n // m) for n, m in zip(size[::-1], array.shape, strict=True)])
    z, y, x = size[::-1]
    return Volume(np.ascontiguousarray(tiled[:z, :y, :x]), Geometry(size=size))


def shipped_spec() -> SegmentationSpec:
    """Read the spec of the model."""
    text = (_REPOSITORY / MODEL / "config.pbtxt").read_text()
    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    return SegmentationSpec.from_json(config.parameters[SPEC_PARAMETER].string_value)


def patches_of(volume: Volume, spec: SegmentationSpec) -> list[npt.NDArray[Any]]:
    """Cut the patches of an image, [channel, z, y, x], as the sliding window does."""
    roi = Roi.from_image(volume.geometry.size, spacing=volume.geometry.spacing, target_spacing=spec.patch.spacing)
    channels = volume_input(roi.extract(volume.array), spec.input)
    _, z, y, x = channels.shape
    windows = SlidingWindow.over((z, y, x), spec.patch)
    return [windows.extract(channels, corner, spec.patch) for corner in windows]


async def ask_triton(address: str, patches: Sequence[npt.NDArray[Any]], spec: SegmentationSpec) -> None:
    """Send patches to Triton, as many at once as the gateway does."""
    model = Model(MODEL, "1", spec)
    places = asyncio.Semaphore(Settings.model_fields["segmentation_patches"].default)
    async with TritonClient(address) as triton:

        async def ask(patch: npt.NDArray[Any]) -> None:
            async with places:
                await triton.infer(model, patch, timeout=60)

        await asyncio.gather(*map(ask, patches))


def _onnx_session() -> Any:
    import onnxruntime

    newest = max((_REPOSITORY / MODEL).glob("*/model.onnx"), key=lambda path: int(path.parent.name))
    return onnxruntime.InferenceSession(newest, providers=["CPUExecutionProvider"])


class _Immediate:
    """Inference that answers every patch immediately, with a ball of each label."""

    def __init__(self, spec: SegmentationSpec) -> None:
        channels, z, y, x = spec.output_shape
        axes = [np.linspace(-1, 1, n, dtype=np.float32) ** 2 for n in (z, y, x)]
        away = axes[0][:, None, None] + axes[1][:, None] + axes[2]
        self._output = np.zeros(spec.output_shape, np.uint8)
        for label in range(1, channels):
            self._output[label] = np.where(away < 1 / label, 40 * label, 0)
        self._output[0] = 255 - self._output[1:].max(axis=0)

    async def infer(
        self,
        model: Model,
        tensor: npt.NDArray[np.floating],  # noqa: ARG002  # the answer is the same whatever is asked
        *,
        timeout: float,  # noqa: ARG002
        version: str = "",
    ) -> InferenceResult:
        """Return the balls."""
        return InferenceResult(self._output.copy(), version or model.version)


class _OneImage:
    """Image store with one image."""

    def __init__(self, image: StoredImage) -> None:
        self._image = image

    async def open(self, digest: str, *, tenant: str) -> StoredImage:  # noqa: ARG002
        """Return the image."""
        assert digest == self._image.digest
        return self._image


def _segment_large() -> dict[str, float]:
    spec = SegmentationSpec(
        prompts=(),
        labels=tuple(f"part {number}" for number in range(1, _LABELS + 1)),
        patch=PatchSpec(size=(128, 128, 128), spacing=(0.8, 0.8, 0.8), overlap=0.25),
        input=InputSpec(channels=(ImageChannel(intensity=Intensity(method="percentile")),)),
    )
    with tempfile.TemporaryDirectory(prefix="sixpoint-benchmark-") as folder:
        x, y, z = _SIZE
        voxels = np.memmap(Path(folder) / "voxels", np.int16, "w+", shape=(z, y, x))
        rng = np.random.default_rng(0)
        for plane in voxels:
            plane[:] = rng.integers(-1000, 1000, plane.shape, np.int16)
        image = StoredImage("", Volume(voxels, Geometry(size=_SIZE, spacing=(0.8, 0.8, 0.8))))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started = time.perf_counter()
        asyncio.run(_segment(image, spec))
        seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"peak": peak * 1024 / _GIB, "before": before * 1024 / _GIB, "seconds": seconds}


async def _segment(image: StoredImage, spec: SegmentationSpec) -> None:
    catalog = Catalog()
    catalog.update({"parts": Model("parts", "1", spec)})
    with ThreadPoolExecutor(2) as executor:
        segmenter = Segmenter(
            images=_OneImage(image),
            catalog=catalog,
            inference=_Immediate(spec),
            executor=executor,
            admission=Admission(budget=4 * _GIB, max_active=1),
            memory=4 * _GIB,
            in_flight=4,
        )
        events = segmenter.segment("", "parts", principal=Principal(""), deadline=Deadline.after(3600))
        assert isinstance([event async for event in events][-1], SegmentationSummary)


if __name__ == "__main__":
    typer.run(main)
