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
from benchmarks.servers.processes import MIB, Peak, servers
from sixpoint.client import AsyncClient
from sixpoint.errors import Unavailable
from sixpoint.volume import Volume, image_digest

__all__ = ["Upload", "figures", "measure"]

_CHUNK_BYTES = 2**20


@dataclass(frozen=True)
class Upload:
    """What was measured; medians.

    Attributes:
        mib: Size of the volume.
        mib_per_second: Of an upload by the SDK, which hashes it and asks whether it is there first, and by the gateway,
            which hashes it again.
        hash_share: Share of that time that the SDK hashed before it sent anything.
        bare_mib_per_second: Of the bare stream.
        ratio: The upload's speed over the bare stream's.
        growth: The gateway's memory (RSS) at its peak during an upload, less that before, in sizes of the volume; None
            when it runs elsewhere.
        bare_growth: The same of the bare stream's server.
        reply: Bytes of a reply's mask over those of the raw mask, one byte a voxel.
        reply_bytes: Bytes of that reply's mask.
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


async def measure(example: Example, label: int, *, server: str, model: str = "annotation", repeats: int = 7) -> Upload:
    """Measure; see :class:`Upload`.

    Args:
        example: The image.
        label: The structure to outline for the reply.
        server: The gateway, host:port.
        model: Name of the model.
        repeats: Uploads of each kind.

    Raises:
        Unavailable: When the gateway does not answer.
    """
    size = example.volume.array.nbytes
    seconds, hashing, bare_seconds, growths, bare_growths = [], [], [], [], []
    with _bare_server() as bare:
        async with AsyncClient(server) as client, grpc.aio.insecure_channel(bare) as channel:
            stream: grpc.aio.StreamUnaryMultiCallable[bytes, bytes] = channel.stream_unary(METHOD)
            for volume in _variants(example.volume, repeats):
                with Peak(servers(bare)) as peak:
                    started = time.perf_counter()
                    taken = await stream(_chunks(volume))
                    bare_seconds.append(time.perf_counter() - started)
                if int(taken) != size:
                    raise Unavailable(f"the bare stream's server took {int(taken)} bytes of {size}")
                bare_growths.append((peak.most - peak.before) / size)
                started = time.perf_counter()
                image_digest(volume.geometry, volume.array)
                hashing.append(time.perf_counter() - started)
                with Peak(servers(server, children=False)) as peak:
                    started = time.perf_counter()
                    await client.upload(volume)
                    seconds.append(time.perf_counter() - started)
                growths.append((peak.most - peak.before) / size)
            async with await client.open_session(volume, model=model) as session:
                mask = await session.annotate(example.prompt(label))
    return Upload(
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


def figures(found: Upload) -> list[Figure]:
    """The figures, with what they should be."""
    what = f"upload of {found.mib:.0f} MiB"
    result = [
        Figure(what=f"{what}: speed, of a bare stream's", got=found.ratio, least=0.6),
        Figure(what=f"{what}: speed", got=found.mib_per_second, unit="MiB/s"),
        Figure(what=f"{what}: bare stream", got=found.bare_mib_per_second, unit="MiB/s"),
        Figure(what=f"{what}: share of its time that the client hashes first", got=found.hash_share),
    ]
    if found.growth is not None:
        result.append(Figure(what=f"{what}: the gateway's memory at its peak, in volumes", got=found.growth, most=1.2))
    result.append(Figure(what=f"{what}: bare stream's memory at its peak, in volumes", got=found.bare_growth))
    result.append(Figure(what="reply's mask, of the raw mask's bytes", got=found.reply, most=0.02))
    return result


@contextlib.contextmanager
def _bare_server() -> Iterator[str]:
    """The bare stream's server in a process of its own; its host:port."""
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
    """As many volumes that nobody has seen: the first voxels are random."""
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
    found = asyncio.run(measure(example, label, server=server, model=model, repeats=repeats))
    typer.echo(json.dumps(asdict(found), indent=1) if as_json else as_markdown(figures(found)))


if __name__ == "__main__":
    typer.run(main)
