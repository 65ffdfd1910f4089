"""3D Slicer's MONAI Label extension, unmodified: markups in, segments out, the masks of gRPC to the voxel."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sixpoint
from gateway.server import Gateway
from sixpoint._typing import Array
from sixpoint.metrics import dice
from sixpoint.phantom import make_phantom
from sixpoint.prompts import Click, ExtremePoints
from sixpoint.volume import Volume
from tests.gateway.http.monai_label.test_masks import ADDED, OBLIQUE, SIX
from tests.support.images import noisy_volume
from tests.viewers.support.masks import deepest, extreme_voxels
from tests.viewers.support.pictures import draw_steps
from tests.viewers.support.programs import DRIVERS, fetch_slicer, fetch_slicer_module, real_viewer

pytestmark = real_viewer("3D Slicer: MONAILabel")


@pytest.mark.parametrize("image", [noisy_volume(), OBLIQUE], ids=["plain", "oblique"])
@pytest.mark.parametrize("path", ["", "/monailabel/"])
def test_points_become_segments(http_gateway: Gateway, tmp_path: Path, image: Volume, path: str) -> None:
    points = [*SIX, ADDED]
    image.write(tmp_path / "image.nrrd")
    answers = annotate(f"http://127.0.0.1:{http_gateway.http_ports['http']}{path}", image, points, tmp_path)
    assert [answer["points"] for answer in answers][-1] == points
    assert all(answer["same_grid"] for answer in answers)
    assert [answer["voxels"] for answer in answers[:5]] == [0] * 5
    stored = Volume.read(tmp_path / "image.nrrd")
    with sixpoint.Client(f"127.0.0.1:{http_gateway.port}") as client, client.open_session(stored) as session:
        expected = [session.annotate(ExtremePoints(SIX)).array, session.annotate(Click(tuple(ADDED))).array]
    for answer, mask in zip(answers[5:], expected, strict=True):
        assert (answer["labels"], answer["imported"], answer["segments"]) == (["liver"], True, 1)
        assert answer["voxels"] == np.flatnonzero(mask).tolist()


def test_a_person_outlines_an_organ(http_gateway: Gateway, tmp_path: Path) -> None:
    phantom = make_phantom()
    image, liver = phantom.image, phantom.mask("liver") != 0
    image.write(tmp_path / "image.nrrd")
    points = [list(voxel) for voxel in extreme_voxels(liver)]
    url = f"http://127.0.0.1:{http_gateway.http_ports['http']}"
    missing = deepest(liver & ~voxels_of(annotate(url, image, points, tmp_path)[-1], image))
    answers = annotate(url, image, [*points, list(missing[::-1])], tmp_path)
    masks = [voxels_of(answer, image) for answer in answers[5:]]
    assert masks[1][missing]
    assert all(dice(mask, liver) > 0.9 for mask in masks)
    # All points are sent each time, and the sixth begins the object.
    clicked = [[(x, y, z) for x, y, z in answer["points"]] for answer in answers[5:]]
    draw_steps("slicer.png", image.array, masks, clicked, z=missing[0])


def annotate(url: str, image: Volume, points: list[list[int]], folder: Path) -> list[dict[str, Any]]:
    """Set the points one after the other in 3D Slicer; returns what came after each."""
    python, module = fetch_slicer(), fetch_slicer_module()
    ras = image.geometry.index_to_point(points) * [-1, -1, 1]
    (folder / "points.json").write_text(json.dumps(ras.tolist()))
    command: list[str | Path] = [python, DRIVERS / "slicer_monai_label.py", module, url]
    command += [folder / "image.nrrd", folder / "points.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout.splitlines()[-1]))


def voxels_of(answer: dict[str, Any], image: Volume) -> Array:
    """The mask of an answer [z, y, x]."""
    mask = np.zeros(image.array.size, np.bool_)
    mask[answer["voxels"]] = True
    return mask.reshape(image.array.shape)
