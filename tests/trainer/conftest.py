"""Small labelled datasets, made up: a bright ball with a darker one inside, in noise."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sixpoint.geometry import Geometry
from sixpoint.volume import write_image

SIZE = (20, 22, 18)  # (x, y, z)
Maker = Callable[..., Path]


def write_case(images: Path, labels: Path, name: str, *, seed: int, geometry: Geometry) -> None:
    rng = np.random.default_rng(seed)
    z, y, x = np.indices(geometry.shape)
    centre = np.array(geometry.shape) / 2 + rng.uniform(-1, 1, 3)
    radius = np.sqrt((z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2)
    label = (radius < 6).astype(np.uint8) + (radius < 3.5)
    image = np.clip(np.array([30, 90, 150])[label] + rng.normal(0, 8, label.shape), 0, 255)
    # Real sets mix types.
    write_image(image.astype(np.float32 if seed % 2 else np.uint8), geometry, images / f"{name}.nii.gz")
    write_image(label.astype(np.float32 if seed % 3 else np.uint8), geometry, labels / f"{name}.nii.gz")


@pytest.fixture(scope="session")
def make_pairs(tmp_path_factory: pytest.TempPathFactory) -> Maker:
    """Makes a dataset of two folders: ``make_pairs(cases=5, named=True, spacing=(1, 1, 1))``."""

    def make(*, cases: int = 5, named: bool = True, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Path:
        root = tmp_path_factory.mktemp("pairs") / "balls"
        for seed in range(cases):
            write_case(
                root / "images",
                root / "labels",
                f"ball_{seed}",
                seed=seed,
                geometry=Geometry(size=SIZE, spacing=spacing, direction=(-1, 0, 0, 0, 1, 0, 0, 0, -1)),
            )
        if named:
            (root / "labels.json").write_text(json.dumps({"1": "shell", "2": "core"}))
        return root

    return make


@pytest.fixture(scope="session")
def make_decathlon(tmp_path_factory: pytest.TempPathFactory) -> Maker:
    """Makes a dataset as the Decathlon's: ``make_decathlon(cases=5, modality="MRI")``."""

    def make(*, cases: int = 5, modality: str = "MRI") -> Path:
        root = tmp_path_factory.mktemp("decathlon")
        names = [f"ball_{seed}" for seed in range(cases)]
        for seed, name in enumerate(names):
            write_case(root / "imagesTr", root / "labelsTr", name, seed=seed, geometry=Geometry(size=SIZE))
        content = {
            "name": "Balls",
            "licence": "CC0-1.0",
            "modality": {"0": modality},
            "labels": {"0": "background", "1": "shell", "2": "core"},
            "training": [
                {"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"} for name in names
            ],
        }
        (root / "dataset.json").write_text(json.dumps(content))
        return root

    return make
