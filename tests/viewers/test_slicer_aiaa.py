"""3D Slicer's plug-in for AIAA, unmodified, without windows: six points in, the mask of gRPC in the segment.

``AIAA_CLIENT`` names the folder of its source, as for AIAA's other clients.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

import sixpoint
from gateway.server import Gateway
from sixpoint.metrics import dice
from sixpoint.prompts import ExtremePoints
from sixpoint.volume import Volume
from tests.gateway.http.monai_label.test_masks import OBLIQUE, SIX
from tests.support.images import noisy_volume
from tests.viewers.programs import DRIVERS, fetch_slicer, with_viewers

_SOURCE = os.environ.get("AIAA_CLIENT", "")
pytestmark = [
    with_viewers,
    pytest.mark.skipif(not _SOURCE, reason="AIAA_CLIENT names no folder with the source of AIAA's clients"),
]


@pytest.mark.parametrize("image", [noisy_volume(), OBLIQUE], ids=["plain", "oblique"])
def test_six_points_become_a_segment(http_gateway: Gateway, tmp_path: Path, image: Volume) -> None:
    image.write(tmp_path / "image.nii.gz")
    stored = Volume.read(tmp_path / "image.nii.gz")
    (tmp_path / "points.json").write_text(json.dumps((stored.geometry.index_to_point(SIX) * [-1, -1, 1]).tolist()))
    command: list[str | Path] = [fetch_slicer(), DRIVERS / "slicer_aiaa.py", _SOURCE]
    command += [f"http://127.0.0.1:{http_gateway.http_ports['http']}/aiaa"]
    command += [tmp_path / name for name in ("image.nii.gz", "points.json", "masks.npz")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["said"] == []
    assert answer["models"].items() >= {"annotation": "annotation", "segmentation_hippocampus": "segmentation"}.items()
    with sixpoint.Client(f"127.0.0.1:{http_gateway.port}") as client, client.open_session(stored) as session:
        expected = session.annotate(ExtremePoints(SIX)).array
    masks = np.load(tmp_path / "masks.npz")
    assert np.array_equal(masks["session"], expected)
    # Without sessions the plug-in sends a part of the image, which it has resampled.
    assert dice(masks["cut"] != 0, expected != 0) > 0.8
