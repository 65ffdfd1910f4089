"""Volumes on their way: an upload against a bare stream of the same bytes, its memory, and the size of a reply.

Uploads and bare streams alternate within one run; each volume differs from those before in one voxel, so that it is
new to the gateway::

    make serve &
    python -m benchmarks.upload                                # on the phantom CT, made 512 x 512 x 256
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import grpc.aio
import numpy as np
import typer

from benchmarks.figures import Figure, as_markdown, p50
from benchmarks.images.examples import Example, large_ct, read_example
from benchmarks.servers.bare_stream import METHOD
from benchmarks.servers.processes import MIB, PeakMemory, servers
from sixpoint.client import AsyncClient
from sixpoint.errors import Unavailable
from sixpoint.volume import Volume, image_digest

__all__ = ["UploadResult", "figures", "measure"]

_CHUNK_BYTES = 2**20


@dataclass(frozen=True)
class UploadResult:
    """Medians of the measurements. The field names are keys of the JSON output.

    Attributes:
        mib: Size of the volume, MiB.
        mib_per_second: Speed of an upload. The SDK hashes the volume and asks whether the gateway has it; the gateway
            hashes it again.
        hash_share: Fraction of that time that the SDK hashes before it sends data.
        bare_mib_per_second: Speed of the bare stream.
        ratio: Speed of the upload over that of the bare stream.
        growth: Growth of the gateway's memory (RSS) to its peak during an upload, in sizes of the volume; None if it
            runs elsewhere.
        bare_growth: Growth of the memory of the bare stream's server, in sizes of the volume.
        reply: Size of the mask in a reply over that of the raw mask, one byte per voxel.
        reply_bytes: Size of the mask in a reply, bytes.
    """

    mib: float
    mib_per_second: float
    hash_share: float
    bare_mib_per_second: float
    ratio: float
    growth: float | None
    bare_growth: float
    reply: float
    reply_bytes: int


async def measure(
    example: Example, label: int, *, server: str, model: str = "annotation", repeats: int = 7
) -> UploadResult:
    """Measure uploads; see :class:`UploadResult`.

    Args:
        example: Image to upload.
        label: Label of the structure to outline for the reply.
        server: Address of the gateway, host:port.
        model: Name of the model.
        repeats: Number of uploads of each kind.

    Raises:
        Unavailable: The gateway does not answer.
    """
    size = example.volume.array.nbytes
    seconds, hashing, bare_seconds, growths, bare_growths = [], [], [], [], []
    with _bare_server() as bare:
        async with AsyncClient(server) as client, grpc.aio.insecure_channel(bare) as channel:
            stream: grpc.aio.StreamUnaryMultiCallable[bytes, bytes] = channel.stream_unary(METHOD)
            for volume in _variants(example.volume, repeats):
                with PeakMemory(servers(bare)) as peak:
                    started = time.perf_counter()
                    taken = await stream(_chunks(volume))
                    bare_seconds.append(time.perf_counter() - started)
                if int(taken) != size:
                    raise Unavailable(f"the bare stream's server took {int(taken)} bytes of {size}")
                bare_growths.append((peak.highest - peak.before) / size)
                started = time.perf_counter()
                image_digest(volume.geometry, volume.array)
                hashing.append(time.perf_counter() - started)
                with PeakMemory(servers(server, children=False)) as peak:
                    started = time.perf_counter()
                    await client.upload(volume)
                    seconds.append(time.perf_counter() - started)
                growths.append((peak.highest - peak.before) / size)
            async with await client.open_session(volume, model=model) as session:
                mask = await session.annotate(example.prompt(label))
    return UploadResult(
        mib=size / MIB,
        mib_per_second=size / MIB / p50(seconds),
        hash_share=p50([a / b for a, b in zip(hashing, seconds, strict=True)]),
        bare_mib_per_second=size / MIB / p50(bare_seconds),
        ratio=p50([b / a for a, b in zip(seconds, bare_seconds, strict=True)]),
        growth=p50(growths) if servers(server) else None,
        bare_growth=p50(bare_growths),
        reply=mask.reply_bytes / mask.array.nbytes,
        reply_bytes=mask.reply_bytes,
    )


def figures(measured: UploadResult) -> list[Figure]:
    """Convert the measurements to figures with limits."""
    what = f"upload of {measured.mib:.0f} MiB"
    result = [
        Figure(name=f"{what}: speed, of a bare stream's", value=measured.ratio, minimum=0.6),
        Figure(name=f"{what}: speed", value=measured.mib_per_second, unit="MiB/s"),
        Figure(name=f"{what}: bare stream", value=measured.bare_mib_per_second, unit="MiB/s"),
        Figure(name=f"{what}: share of its time that the client hashes first", value=measured.hash_share),
    ]
    if measured.growth is not None:
        result.append(
            Figure(name=f"{what}: the gateway's memory at its peak, in volumes", value=measured.growth, maximum=1.2)
        )
    result.append(Figure(name=f"{what}: bare stream's memory at its peak, in volumes", value=measured.bare_growth))
    result.append(Figure(name="reply's mask, of the raw mask's bytes", value=measured.reply, maximum=0.02))
    return result


@contextlib.contextmanager
def _bare_server() -> Iterator[str]:
    """Run the bare stream's server in another process; yield its host:port."""
    root = Path(__file__).parent.parent
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.servers.bare_stream"],
        stdout=subprocess.PIPE,
        cwd=root,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            yield f"127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


def _variants(volume: Volume, count: int) -> Iterator[Volume]:
    """Make ``count`` volumes that the gateway has not stored: their first voxels are random."""
    random = np.random.default_rng()
    for _ in range(count):
        array = volume.array.copy()
        array[0, 0, :8] = random.integers(0, 100, 8)
        yield Volume(array, volume.geometry)


async def _chunks(volume: Volume) -> AsyncIterator[bytes]:
    data = volume.array.reshape(-1).view(np.uint8)
    yield str(len(data)).encode()
    for start in range(0, len(data), _CHUNK_BYTES):
        yield data[start : start + _CHUNK_BYTES].tobytes()


def main(
    image: Annotated[Path | None, typer.Argument(help="Image; without it, the phantom CT.")] = None,
    labels: Annotated[Path | None, typer.Argument(help="Its label image.")] = None,
    label: Annotated[int, typer.Option(help="Number of the structure to outline.")] = 1,
    server: Annotated[str, typer.Option(envvar="SIXPOINT_SERVER", help="The gateway.")] = "127.0.0.1:50051",
    model: Annotated[str, typer.Option(help="The model.")] = "annotation",
    repeats: Annotated[int, typer.Option(min=1, help="Uploads of each kind.")] = 7,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare an upload with a bare stream, on the image made 512 x 512 x 256."""
    example = large_ct(read_example(image, labels))
    measured = asyncio.run(measure(example, label, server=server, model=model, repeats=repeats))
    typer.echo(json.dumps(asdict(measured), indent=1) if as_json else as_markdown(figures(measured)))


if __name__ == "__main__":
    typer.run(main)
