"""3D Slicer's extension nnInteractive, unmodified, without windows: the masks of gRPC to the voxel."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np

import sixpoint
from gateway.http.nninteractive.beginning import give_height
from gateway.http.nninteractive.interactions import Region
from gateway.server import Gateway
from sixpoint._typing import Array
from sixpoint.geometry import Geometry
from sixpoint.metrics import dice
from sixpoint.phantom import make_phantom
from sixpoint.prompts import Box, Click, Prompt, Scribble
from sixpoint.volume import Volume
from tests.viewers.pictures import draw_steps
from tests.viewers.programs import DRIVERS, fetch_slicer, fetch_slicer_nninteractive, with_viewers

pytestmark = with_viewers

PHANTOM = make_phantom()
GEOMETRY = PHANTOM.image.geometry
# Its axes run leftwards, obliquely: the extension turns places in the patient into voxels, and sends no axes.
PLACED = Volume(
    PHANTOM.image.array,
    Geometry(GEOMETRY.size, GEOMETRY.spacing, (12.5, -80, 33), (0, 0.6, 0.8, -1, 0, 0, 0, -0.8, 0.6)),
)
SENT = Volume(PHANTOM.image.array, Geometry(GEOMETRY.size, GEOMETRY.spacing))
LIVER = PHANTOM.mask("liver") != 0


def test_a_person_outlines_an_organ(http_gateway: Gateway, tmp_path: Path) -> None:
    python, module = fetch_slicer(), fetch_slicer_nninteractive()
    z = int(LIVER.sum(axis=(1, 2)).argmax())
    voxels = np.argwhere(LIVER[z])
    (y0, x0), (y1, x1) = voxels.min(axis=0).tolist(), voxels.max(axis=0).tolist()
    y, x = voxels[np.abs(voxels - voxels.mean(axis=0)).sum(axis=1).argmin()].tolist()
    corners = [(x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)]
    line = [(x + step, y, z) for step in range(-4, 5)]
    steps: list[dict[str, object]] = [
        {"kind": "box", "at": ras([corners[0], corners[2]]), "positive": True},
        {"kind": "point", "at": ras([(x, y, z)]), "positive": True},
        {"kind": "scribble", "at": ras(line), "positive": True},
        {"kind": "lasso", "at": ras(corners), "positive": False},
        {"kind": "undo"},
        {"kind": "point", "at": ras([(x, y, GEOMETRY.size[2])]), "positive": True},
        {"kind": "reset"},
        {"kind": "lasso", "at": ras(corners), "positive": True},
        {"kind": "next"},
        {"kind": "point", "at": ras([(x, y, z)]), "positive": True},
    ]
    PLACED.write(tmp_path / "image.nrrd")
    (tmp_path / "steps.json").write_text(json.dumps(steps))
    command: list[str | Path] = [python, DRIVERS / "slicer_nninteractive.py", module]
    command += [f"http://127.0.0.1:{http_gateway.http_ports['http']}/nninteractive/annotation"]
    command += [tmp_path / name for name in ("image.nrrd", "steps.json", "masks.npz")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    ((number, words),) = answer["refused"]
    assert (number, "400" in words) == (5, True)
    assert answer["segments"] == 2
    assert [text.partition(" ")[0] for text in answer["said"]] == ["Connected"]

    box, point, scribble, lasso, undone, outside, reset, second, after, third = np.load(tmp_path / "masks.npz").values()
    assert dice(scribble, LIVER) > 0.85
    assert not lasso[z, y0 + 1 : y1, x0 + 1 : x1].any()
    for same in (undone, outside):
        assert np.array_equal(same, scribble)
    assert not reset.any()
    assert second.any()
    assert not after.any()
    assert third[z, y, x]
    begin = give_height(Region((x0, y0, z), (x1, y1, z)), SENT.geometry)
    expected = over_grpc(http_gateway, [Box(begin.lower, begin.upper)], [Click((x, y, z))], [Scribble(line)])
    for mask, other in zip((box, point, scribble), expected, strict=True):
        assert np.array_equal(mask, other)
    draw_steps("slicer-nninteractive.png", SENT.array, [box, point, scribble], [corners, [(x, y, z)], line], z=z)


def ras(voxels: list[tuple[int, int, int]]) -> object:
    """Where voxels are in the patient, in 3D Slicer's axes."""
    return (PLACED.geometry.index_to_point(voxels) * [-1, -1, 1]).tolist()


def over_grpc(gateway: Gateway, *steps: list[Prompt]) -> list[Array]:
    with sixpoint.Client(f"127.0.0.1:{gateway.port}") as client, client.open_session(SENT) as session:
        return [session.annotate(*prompts).array for prompts in steps]
