"""Memory of one upload through each door: the gateway and the programs that read files, at their peak.

One image of 128 MiB (512 x 512 x 256, int16) is sent once through each door, each time to a new gateway. Counted is the
resident memory (RSS) of the gateway and of its children besides Triton: the highest sum while the image is sent, less
what they have when idle. *Idle* is after a small image went the same way. Of the programs that read files, which live
for one call, idle is their peak for that small image: Python and its libraries, whatever the image. The rest is divided
by the bytes of the voxels::

    python -m benchmarks.door_memory                           # all doors
    python -m benchmarks.door_memory rest-nii.gz aiaa          # some
"""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import httpx
import numpy as np
import psutil
import typer

from benchmarks.servers.local_servers import free_ports, running
from benchmarks.servers.processes import MIB, Sampling, resident, servers
from sixpoint.geometry import Geometry
from sixpoint.volume import Volume, voxel_type_number

__all__ = ["DOORS", "DoorMemory", "main", "measure"]

_LARGE, _SMALL = (512, 512, 256), (32, 32, 16)
_TIMEOUT_S = 300.0

Send = Callable[[httpx.Client, Volume, Path], httpx.Response]
"""Function that sends an image to a gateway; the folder is for files."""


@dataclass(frozen=True)
class DoorMemory:
    """What one upload took.

    Attributes:
        door: Door, and form of the upload.
        gateway: Growth of the gateway's own memory to its peak, in sizes of the voxels.
        readers: Growth of the memory of the programs that read files, above that for a small image, likewise.
        total: Growth of both together, at the moment when it was largest.
        reader_mib: Memory of those programs for a small image, MiB.
    """

    door: str
    gateway: float
    readers: float
    total: float
    reader_mib: float


class _DoorSampling(Sampling[tuple[int, int]]):
    """Memory of a gateway, and of the programs that read files for it, within a ``with`` block."""

    def __init__(self, gateway: psutil.Process, others: set[int]) -> None:
        super().__init__(
            lambda: (
                resident([gateway]),
                resident([child for child in gateway.children() if child.pid not in others]),
            )
        )

    @property
    def gateway(self) -> int:
        """Highest number of bytes of the gateway."""
        return max(gateway for gateway, _ in self.samples)

    @property
    def readers(self) -> int:
        """Highest number of bytes of the programs that read files."""
        return max(readers for _, readers in self.samples)


def make_image(size: tuple[int, int, int], *, seed: int) -> Volume:
    """Make an image of noise on a gradient, which packs as real images do."""
    values = np.random.default_rng(seed).integers(-20, 20, size[::-1], dtype=np.int16)
    values += (np.arange(size[0]) % 400).astype(np.int16)
    return Volume(values, Geometry(size, spacing=(0.5, 0.5, 1.0)))


def _file(suffix: str) -> Send:
    def send(client: httpx.Client, image: Volume, folder: Path) -> httpx.Response:
        path = _written(image, folder, suffix)
        with path.open("rb") as file:
            return client.post(f"/api/v1/images?format={suffix}", content=_chunks(file))

    return send


def _voxels(client: httpx.Client, image: Volume, folder: Path) -> httpx.Response:
    del folder
    geometry = image.geometry
    names = {1: "INT8", 2: "UINT8", 3: "INT16", 4: "UINT16", 5: "INT32", 6: "UINT32", 7: "FLOAT32"}
    described = {
        "geometry": {"size": geometry.size, "spacing": geometry.spacing, "origin": geometry.origin}
        | {"direction": geometry.direction},
        "voxel_type": f"VOXEL_TYPE_{names[voxel_type_number(image.array.dtype)]}",
    }
    headers = {"sixpoint-image": json.dumps(described)}
    return client.put(f"/api/v1/images/{image.digest}", content=image.array.tobytes(), headers=headers)


def _monai_label(client: httpx.Client, image: Volume, folder: Path) -> httpx.Response:
    path = _written(image, folder, "nii.gz")
    with path.open("rb") as file:
        return client.put("/monailabel/session/", files={"files": (path.name, file)})


def _aiaa(client: httpx.Client, image: Volume, folder: Path) -> httpx.Response:
    path = _written(image, folder, "nii.gz")
    with path.open("rb") as file:
        return client.put("/aiaa/session/", files={"params": (None, '{"expiry": 600}'), "datapoint": (path.name, file)})


def _nninteractive(client: httpx.Client, image: Volume, folder: Path) -> httpx.Response:
    # As a client of its own protocol packs it.
    from nnInteractive.inference.remote.remote_session import nnInteractiveRemoteInferenceSession as Session

    del folder
    with Session(f"{str(client.base_url).rstrip('/')}/nninteractive/annotation") as session:
        session.set_image(image.array[None], {"spacing": list(image.geometry.spacing[::-1])})
    return httpx.Response(200, request=httpx.Request("POST", client.base_url))


def _itksnap(client: httpx.Client, image: Volume, folder: Path) -> httpx.Response:
    del folder
    geometry = image.geometry
    session = client.get("/itksnap/v2/start_session/annotation").json()["session_id"]
    metadata = {
        "components_per_pixel": 1,
        "component_type": "float32",
        "dimensions": geometry.size,
        "spacing": geometry.spacing,
        "origin": geometry.origin,
        "direction": geometry.direction,
    }
    files: Any = {
        "file": ("image.gz", gzip.compress(image.array.astype("<f4").tobytes(), 1), "application/gzip"),
        "metadata": (None, json.dumps(metadata), "application/json"),
    }
    return client.post(f"/itksnap/upload_raw/{session}?filename=upload.nii.gz", files=files)


DOORS: Mapping[str, Send] = {
    "rest-voxels": _voxels,
    "rest-nii.gz": _file("nii.gz"),
    "rest-nii": _file("nii"),
    "rest-nrrd": _file("nrrd"),
    "rest-mha": _file("mha"),
    "monailabel": _monai_label,
    "aiaa": _aiaa,
    "nninteractive": _nninteractive,
    "itksnap": _itksnap,
}
"""What sends an image through each door."""


def measure(door: str, *, triton_url: str) -> DoorMemory:
    """Send an image through a door of a new gateway; see :class:`DoorMemory`.

    Args:
        door: Name of the door, of :data:`DOORS`.
        triton_url: Address of a Triton that runs.
    """
    send, (port,) = DOORS[door], free_ports(1)
    with (
        running(triton_url=triton_url, settings={"SIXPOINT_HTTP_PORT": port}) as addresses,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=_TIMEOUT_S, trust_env=False) as client,
        tempfile.TemporaryDirectory(prefix="sixpoint-") as folder,
    ):
        (gateway,) = servers(addresses.gateway, children=False)
        others = {child.pid for child in gateway.children()}
        small = _DoorSampling(gateway, others)
        with small:
            send(client, make_image(_SMALL, seed=0), Path(folder)).raise_for_status()
        image = make_image(_LARGE, seed=1)
        idle = resident([gateway])
        large = _DoorSampling(gateway, others)
        with large:
            send(client, image, Path(folder)).raise_for_status()
    nbytes = image.array.nbytes
    totals = [own - idle + max(readers - small.readers, 0) for own, readers in large.samples]
    return DoorMemory(
        door=door,
        gateway=(large.gateway - idle) / nbytes,
        readers=max(large.readers - small.readers, 0) / nbytes,
        total=max(totals) / nbytes,
        reader_mib=small.readers / MIB,
    )


def _written(image: Volume, folder: Path, suffix: str) -> Path:
    path = folder / f"image{image.geometry.size[0]}.{suffix}"
    image.write(path)
    return path


def _chunks(file: Any) -> Any:
    return iter(lambda: file.read(2**20), b"")


def main(
    doors: Annotated[list[str] | None, typer.Argument(help=f"Of {', '.join(DOORS)}; without any, all.")] = None,
    triton_url: Annotated[str, typer.Option(help="A Triton that runs already.")] = "",
) -> None:
    """Print the memory of an upload through each door, in sizes of its voxels."""
    typer.echo("| door | both at once | gateway | programs that read | these, for a small image |")
    typer.echo("|---|---|---|---|---|")
    with running(triton_url=triton_url) as addresses:
        for door in doors or DOORS:
            measured = measure(door, triton_url=addresses.triton)
            typer.echo(
                f"| {door} | {measured.total:.2f} | {measured.gateway:.2f} | {measured.readers:.2f} | "
                f"{measured.reader_mib:.0f} MiB |"
            )


if __name__ == "__main__":
    typer.run(main)
