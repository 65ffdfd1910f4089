"""A network small enough to export in a second or two, with the channels of the real one."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from typer.testing import CliRunner, Result

from exporter.cli import app
from exporter.graph.network import build_network
from sixpoint.model_spec import ModelSpec

SPEC: dict[str, Any] = {
    "title": "Tiny",
    "description": "Random weights.",
    "roi": {"size": [24, 16, 16]},
    "input": {
        "channels": [
            {"kind": "image", "intensity": {"method": "percentile"}},
            {"kind": "image", "intensity": {"method": "ellipsoid"}},
            {"kind": "image", "intensity": {"method": "points"}},
            {"kind": "heatmap"},
            {"kind": "ellipsoid"},
            {"kind": "hull"},
        ]
    },
    "network": {
        "name": "UNet",
        "arguments": {
            "spatial_dims": 3,
            "in_channels": 6,
            "out_channels": 1,
            "channels": [4, 8],
            "strides": [2],
            "num_res_units": 1,
        },
    },
    "licence": "Apache-2.0",
    "metrics": {"dice": 0.91234},
    "provenance": {"data": "none"},
}


def run(*arguments: object) -> Result:
    """Run the command line; its output and errors are apart."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def mapping() -> dict[str, Any]:
    """The spec as a YAML reader returns it, to be changed at will."""
    return copy.deepcopy(SPEC)


@pytest.fixture(scope="session")
def spec() -> ModelSpec:
    return ModelSpec.from_mapping(SPEC)


@pytest.fixture(scope="session")
def state(spec: ModelSpec) -> dict[str, torch.Tensor]:
    """Weights large enough that probabilities differ from voxel to voxel."""
    torch.manual_seed(0)
    return {key: value * 2 for key, value in build_network(spec).state_dict().items()}


@pytest.fixture(scope="session")
def checkpoint(state: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "best.pt"
    torch.save({"state_dict": state}, path)
    return path


@pytest.fixture(scope="session")
def spec_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("spec") / "spec.yaml"
    path.write_text(yaml.safe_dump(SPEC))
    return path


@pytest.fixture(scope="session")
def exported(checkpoint: Path, spec_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with one version of one model, which no test may change."""
    repository = tmp_path_factory.mktemp("exported") / "model_repository"
    result = run("export", checkpoint, "--spec", spec_file, "--name", "tiny", "--repository", repository)
    assert result.exit_code == 0, result.stderr
    return repository


@pytest.fixture
def repository(exported: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed at will."""
    return Path(shutil.copytree(exported, tmp_path / "model_repository"))
