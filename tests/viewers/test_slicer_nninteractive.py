"""3D Slicer's extension nnInteractive, unmodified, without windows: the masks of gRPC to the voxel."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gateway.server import Gateway
from sixpoint._typing import Index
from sixpoint.geometry import Geometry
from sixpoint.volume import Volume
from tests.viewers.support.nninteractive_case import IMAGE, OUTSIDE, LiverCase
from tests.viewers.support.pictures import draw_steps
from tests.viewers.support.programs import DRIVERS, fetch_slicer, fetch_slicer_nninteractive, real_viewer

pytestmark = real_viewer("3D Slicer: nnInteractive")

# Its axes run leftwards, obliquely: the extension turns places in the patient into voxels, and sends no axes.
AXES = (0, 0.6, 0.8, -1, 0, 0, 0, -0.8, 0.6)
PLACED = Volume(IMAGE.array, Geometry(IMAGE.geometry.size, IMAGE.geometry.spacing, (12.5, -80, 33), AXES))


def test_a_person_outlines_an_organ(http_gateway: Gateway, tmp_path: Path) -> None:
    python, module = fetch_slicer(), fetch_slicer_nninteractive()
    case = LiverCase.make()
    PLACED.write(tmp_path / "image.nrrd")
    (tmp_path / "steps.json").write_text(json.dumps(case.steps(ras, box=case.corners[::2])))
    command: list[str | Path] = [python, DRIVERS / "slicer_nninteractive.py", module]
    command += [f"http://127.0.0.1:{http_gateway.http_ports['http']}/nninteractive/annotation"]
    command += [tmp_path / name for name in ("image.nrrd", "steps.json", "masks.npz")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    ((number, words),) = answer["refused"]
    assert (number, "400" in words) == (OUTSIDE, True)
    assert answer["segments"] == 2
    assert [text.partition(" ")[0] for text in answer["said"]] == ["Connected"]
    masks = list(np.load(tmp_path / "masks.npz").values())
    case.check(masks, http_gateway, last=case.corners[2])
    clicked = [case.corners, [case.middle], case.line]
    draw_steps("slicer-nninteractive.png", IMAGE.array, masks[:3], clicked, z=case.middle[2])


def ras(voxels: Sequence[Index]) -> object:
    """Where voxels are in the patient, in 3D Slicer's axes."""
    return (PLACED.geometry.index_to_point(voxels) * [-1, -1, 1]).tolist()
