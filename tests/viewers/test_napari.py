"""napari with its plug-in for nnInteractive, unmodified, in a window: the masks of gRPC to the voxel."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
from PIL import Image

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
from tests.viewers.programs import DRIVERS, fetch_napari, window_command, with_viewers

pytestmark = with_viewers

PHANTOM = make_phantom()
# What napari knows of the image: its spacing, and no direction.
IMAGE = Volume(PHANTOM.image.array, Geometry(PHANTOM.image.geometry.size, PHANTOM.image.geometry.spacing))
LIVER = PHANTOM.mask("liver") != 0
# Where to put a picture of the window; empty for nowhere.
PICTURES = os.environ.get("VIEWER_PICTURES", "")


def slice_of(mask: Array) -> tuple[int, Array]:
    """The slice where a mask is largest, and its voxels there (y, x)."""
    z = int(mask.sum(axis=(1, 2)).argmax())
    return z, np.argwhere(mask[z])


def test_a_person_outlines_an_organ(http_gateway: Gateway, tmp_path: Path) -> None:
    z, voxels = slice_of(LIVER)
    (y0, x0), (y1, x1) = voxels.min(axis=0).tolist(), voxels.max(axis=0).tolist()
    y, x = voxels[np.abs(voxels - voxels.mean(axis=0)).sum(axis=1).argmin()].tolist()
    corners = [[z, y0, x0], [z, y0, x1], [z, y1, x1], [z, y1, x0]]
    line = [[z, y, x + step] for step in range(-4, 5)]
    steps: list[dict[str, object]] = [
        {"kind": "box", "at": corners, "positive": True},
        {"kind": "point", "at": [[z + 0.3, y + 0.2, x - 0.4]], "positive": True},
        {"kind": "scribble", "at": line, "positive": True},
        {"kind": "picture", "slice": z},
        {"kind": "lasso", "at": corners, "positive": False},
        {"kind": "undo"},
        {"kind": "point", "at": [[IMAGE.array.shape[0], y, x]], "positive": True},
        {"kind": "reset"},
        {"kind": "lasso", "at": corners, "positive": True},
        {"kind": "next"},
        {"kind": "point", "at": [[z, y, x]], "positive": True},
    ]
    python = fetch_napari()
    np.save(tmp_path / "image.npy", IMAGE.array)
    (tmp_path / "steps.json").write_text(json.dumps({"spacing": IMAGE.geometry.spacing[::-1], "steps": steps}))
    picture = tmp_path / "napari.png"
    command: list[str | Path] = [*window_command(), python, DRIVERS / "napari_window.py"]
    command += [f"http://127.0.0.1:{http_gateway.http_ports['http']}/nninteractive/annotation"]
    command += [tmp_path / name for name in ("image.npy", "steps.json", "masks.npz")]
    done = subprocess.run([*command, picture], capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["tools"] == ["point", "box", "scribble", "lasso"]
    ((number, code, words),) = answer["refused"]
    assert (number, code) == (6, 400)
    assert "outside the image" in words
    assert any("Object" in name or "object" in name for name in answer["layers"]), answer["layers"]

    masks = list(np.load(tmp_path / "masks.npz").values())
    box, point, scribble, lasso, undone, outside, reset, second, after, third = masks
    assert dice(scribble, LIVER) > 0.85
    assert not lasso[z, y0 + 1 : y1, x0 + 1 : x1].any()
    for same in (undone, outside):
        assert np.array_equal(same, scribble)
    assert not reset.any()
    assert second.any()
    assert not after.any()
    assert third[z, y, x]
    # The plug-in's rectangles end before their last corner.
    begin = give_height(Region((x0, y0, z), (x1 - 1, y1 - 1, z)), IMAGE.geometry)
    expected = over_grpc(
        http_gateway,
        [Box(begin.lower, begin.upper)],
        [Click((x, y, z))],
        [Scribble([(px, py, pz) for pz, py, px in line])],
    )
    for mask, other in zip((box, point, scribble), expected, strict=True):
        assert np.array_equal(mask, other)
    if PICTURES:
        colours = Image.open(picture).convert("P", palette=Image.Palette.ADAPTIVE, colors=64)
        colours.save(f"{PICTURES}/napari.png", optimize=True)


def over_grpc(gateway: Gateway, *steps: list[Prompt]) -> list[Array]:
    with sixpoint.Client(f"127.0.0.1:{gateway.port}") as client, client.open_session(IMAGE) as session:
        return [session.annotate(*prompts).array for prompts in steps]
