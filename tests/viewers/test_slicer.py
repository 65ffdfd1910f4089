"""3D Slicer's MONAI Label extension, unmodified: markups in, segments out, the masks of gRPC to the voxel."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

import sixpoint
from gateway.server import Gateway
from sixpoint.prompts import Click, ExtremePoints
from sixpoint.volume import Volume
from tests.gateway.http.monai_label.test_masks import ADDED, OBLIQUE, SIX
from tests.support.images import noisy_volume
from tests.viewers.programs import DRIVERS, fetch_slicer, fetch_slicer_module, with_viewers

pytestmark = with_viewers


@pytest.mark.parametrize("image", [noisy_volume(), OBLIQUE], ids=["plain", "oblique"])
@pytest.mark.parametrize("path", ["", "/monailabel/"])
def test_points_become_segments(http_gateway: Gateway, tmp_path: Path, image: Volume, path: str) -> None:
    python, module = fetch_slicer(), fetch_slicer_module()
    image.write(tmp_path / "image.nrrd")
    points = [*SIX, ADDED]
    ras = image.geometry.index_to_point(points) * [-1, -1, 1]
    (tmp_path / "points.json").write_text(json.dumps(ras.tolist()))
    driver = DRIVERS / "slicer_monai_label.py"
    url = f"http://127.0.0.1:{http_gateway.http_ports['http']}{path}"
    command: list[str | Path] = [python, driver, module, url, tmp_path / "image.nrrd", tmp_path / "points.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout.splitlines()[-1])
    assert [answer["points"] for answer in answers][-1] == points
    assert all(answer["same_grid"] for answer in answers)
    assert [answer["voxels"] for answer in answers[:5]] == [0] * 5
    stored = Volume.read(tmp_path / "image.nrrd")
    with sixpoint.Client(f"127.0.0.1:{http_gateway.port}") as client, client.open_session(stored) as session:
        expected = [session.annotate(ExtremePoints(SIX)).array, session.annotate(Click(tuple(ADDED))).array]
    for answer, mask in zip(answers[5:], expected, strict=True):
        assert (answer["labels"], answer["imported"], answer["segments"]) == (["liver"], True, 1)
        assert answer["voxels"] == np.flatnonzero(mask).tolist()
