"""A MONAI bundle, published and served by the real Triton, gives the labels of its own run in MONAI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sixpoint
from tests.exporter.bundles import config, metadata, write_bundle
from tests.exporter.command_line import run
from tests.exporter.pipelines import dice, monai_labels, write_image
from tests.support.paths import TRITON_ENVIRONMENT
from tests.support.servers import running_gateway, running_triton

pytestmark = [pytest.mark.triton, pytest.mark.slow]

ARGMAX = {"_target_": "AsDiscreted", "keys": "pred", "argmax": True}
NEAREST = {"_target_": "Invertd", "keys": "pred", "transform": "@preprocessing", "orig_keys": "image"}
LINEAR = {**NEAREST, "nearest_interp": False}
SOFTMAX = {"_target_": "Activationsd", "keys": "pred", "softmax": True}
SIGMOID = {"_target_": "Activationsd", "keys": "pred", "sigmoid": True}
# Windows are averaged before the activation, and labels come from the image's grid, or from the network's.
DECISIONS: dict[str, list[dict[str, Any]]] = {
    "softmax": [SOFTMAX, LINEAR, ARGMAX],
    "network_grid": [SOFTMAX, NEAREST, ARGMAX],
    "overlapping": [SIGMOID, LINEAR, {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.4}],
}


def test_labels_are_those_of_the_bundles_own_run(tmp_path: Path) -> None:
    if not TRITON_ENVIRONMENT.is_dir():
        pytest.skip("Triton is not installed: make triton")
    image = write_image(tmp_path / "ct.nii.gz", size=(50, 44, 30), spacing=(1.3, 1.5, 2.4))
    repository = tmp_path / "repository"
    expected = {}
    for name, decision in DECISIONS.items():
        content = config(postprocessing={"_target_": "Compose", "transforms": decision})
        about = metadata({"0": "left", "1": "right"}) if name == "overlapping" else None
        network = write_bundle(tmp_path / name, content, about, gain=2.0)
        done = run("export", tmp_path / name, "--name", name, "--repository", repository)
        assert done.exit_code == 0, done.stderr
        expected[name] = monai_labels(tmp_path / name, image, network)
    with (
        running_triton(repository) as triton,
        running_gateway(triton_url=triton.address) as gateway,
        sixpoint.Client(f"127.0.0.1:{gateway.port}") as client,
    ):
        for name, labels in expected.items():
            found = client.segment(image, model=name)
            for number, label in enumerate(found.found, start=1):
                # [z, y, x] to MONAI's [x, y, z].
                ours = found.mask(label).array.transpose(2, 1, 0)
                other = labels[number - 1] > 0.5 if name == "overlapping" else labels[0] == number
                assert 0.02 < np.mean(other) < 0.98
                assert dice(ours, other) >= 0.999, name
