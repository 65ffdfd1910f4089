"""3D Slicer's plug-in for AIAA, unmodified, without windows: six points in, the mask of gRPC in the segment.

``AIAA_CLIENT`` names the folder of its source, as for AIAA's other clients.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

import sixpoint
from gateway.server import Gateway
from sixpoint._typing import Array, Index
from sixpoint.metrics import dice
from sixpoint.phantom import make_phantom
from sixpoint.prompts import ExtremePoints
from sixpoint.volume import Volume
from tests.gateway.http.monai_label.test_masks import OBLIQUE, SIX
from tests.support.images import noisy_volume
from tests.viewers.support.masks import deepest, extreme_voxels
from tests.viewers.support.pictures import draw_steps
from tests.viewers.support.programs import AIAA_SOURCE, DRIVERS, fetch_slicer, real_viewer, with_aiaa_source

pytestmark = [*real_viewer("3D Slicer: NvidiaAIAssistedAnnotation"), with_aiaa_source]


@pytest.mark.parametrize("image", [noisy_volume(), OBLIQUE], ids=["plain", "oblique"])
def test_six_points_become_a_segment(http_gateway: Gateway, tmp_path: Path, image: Volume) -> None:
    masks = annotate(http_gateway, image, SIX, tmp_path)
    stored = Volume.read(tmp_path / "image.nii.gz")
    with sixpoint.Client(f"127.0.0.1:{http_gateway.port}") as client, client.open_session(stored) as session:
        expected = session.annotate(ExtremePoints(SIX)).array
    assert np.array_equal(masks["session"], expected)
    # Without sessions the plug-in sends a part of the image, which it has resampled.
    assert dice(masks["cut"] != 0, expected != 0) > 0.8


def test_a_person_outlines_an_organ(http_gateway: Gateway, tmp_path: Path) -> None:
    phantom = make_phantom()
    liver = phantom.mask("liver") != 0
    points = extreme_voxels(liver)
    masks = annotate(http_gateway, phantom.image, points, tmp_path)
    assert all(dice(mask != 0, liver) > 0.9 for mask in masks.values())
    z = deepest(liver)[0]
    draw_steps("aiaa.png", phantom.image.array, [masks["session"], masks["cut"]], [points, points], z=z)


def annotate(gateway: Gateway, image: Volume, points: Sequence[Index], folder: Path) -> Mapping[str, Array]:
    """Set six points in 3D Slicer, and press the button; returns the mask of a session, and that of a cut image."""
    image.write(folder / "image.nii.gz")
    ras = Volume.read(folder / "image.nii.gz").geometry.index_to_point(points) * [-1, -1, 1]
    (folder / "points.json").write_text(json.dumps(ras.tolist()))
    command: list[str | Path] = [fetch_slicer(), DRIVERS / "slicer_aiaa.py", AIAA_SOURCE]
    command += [f"http://127.0.0.1:{gateway.http_ports['http']}/aiaa"]
    command += [folder / name for name in ("image.nii.gz", "points.json", "masks.npz")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["said"] == []
    assert answer["models"].items() >= {"annotation": "annotation", "segmentation_hippocampus": "segmentation"}.items()
    return dict(np.load(folder / "masks.npz"))
