"""napari with its plug-in for nnInteractive, unmodified, in a window: the masks of gRPC to the voxel."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gateway.server import Gateway
from sixpoint._typing import Index
from tests.viewers.support.nninteractive_case import IMAGE, OUTSIDE, LiverCase
from tests.viewers.support.programs import DRIVERS, fetch_napari, real_viewer, window_command

pytestmark = real_viewer("napari with napari-nninteractive")

# Where to put a picture of the window; empty for nowhere.
PICTURES = os.environ.get("VIEWER_PICTURES", "")


def test_a_person_outlines_an_organ(http_gateway: Gateway, tmp_path: Path) -> None:
    case = LiverCase.make()
    steps = case.steps(places, box=case.corners)
    # People hit no voxel in its middle.
    steps[1]["at"] = [[value + off for value, off in zip(case.middle[::-1], (0.3, 0.2, -0.4), strict=True)]]
    picture = {"kind": "picture", "slice": case.middle[2]}
    answer = drive(f"http://127.0.0.1:{http_gateway.http_ports['http']}", [*steps[:3], picture, *steps[3:]], tmp_path)
    assert answer["tools"] == ["point", "box", "scribble", "lasso"]
    # The picture is a step, too.
    assert [refusal[:2] for refusal in answer["refused"]] == [[OUTSIDE + 1, 400]], answer["refused"]
    assert "outside the image" in answer["refused"][0][2]
    assert any("Object" in name or "object" in name for name in answer["layers"]), answer["layers"]
    # The plug-in's rectangles end before their last corner.
    x, y, z = case.corners[2]
    case.check(np.load(tmp_path / "masks.npz").values(), http_gateway, last=(x - 1, y - 1, z))
    if PICTURES:
        colours = Image.open(tmp_path / "napari.png").convert("P", palette=Image.Palette.ADAPTIVE, colors=64)
        colours.save(f"{PICTURES}/napari.png", optimize=True)


def drive(url: str, steps: list[dict[str, object]], folder: Path) -> dict[str, Any]:
    np.save(folder / "image.npy", IMAGE.array)
    (folder / "steps.json").write_text(json.dumps({"spacing": IMAGE.geometry.spacing[::-1], "steps": steps}))
    command: list[str | Path] = [*window_command(), fetch_napari(), DRIVERS / "napari_window.py"]
    command += [f"{url}/nninteractive/annotation"]
    command += [folder / name for name in ("image.npy", "steps.json", "masks.npz", "napari.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def places(voxels: Sequence[Index]) -> object:
    """Voxels in the order of napari's axes."""
    return [voxel[::-1] for voxel in voxels]
