"""A network small enough to export in a second or two, with the channels of the real one; and a host of models."""

from __future__ import annotations

import copy
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from exporter.graph.network import build_network
from sixpoint.model_spec import ModelSpec
from tests.exporter.command_line import run
from tests.exporter.model_host import Host
from tests.exporter.specs import ANNOTATION, SEGMENTATION


@pytest.fixture
def mapping() -> dict[str, Any]:
    """The spec as a YAML reader returns it; each test gets its own copy."""
    return copy.deepcopy(ANNOTATION)


@pytest.fixture(scope="session")
def spec() -> ModelSpec:
    return ModelSpec.from_mapping(ANNOTATION)


@pytest.fixture(scope="session")
def state(spec: ModelSpec) -> dict[str, torch.Tensor]:
    """Weights large enough that probabilities differ between voxels."""
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
    path.write_text(yaml.safe_dump(ANNOTATION))
    return path


@pytest.fixture
def segmentation_spec(tmp_path: Path) -> Path:
    """The spec of a segmentation network, in a file."""
    path = tmp_path / "spec.yaml"
    path.write_text(yaml.safe_dump(SEGMENTATION))
    return path


@pytest.fixture(scope="session")
def exported(checkpoint: Path, spec_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with one version of one model; tests must not change it."""
    repository = tmp_path_factory.mktemp("exported") / "model_repository"
    result = run("export", checkpoint, "--spec", spec_file, "--name", "tiny", "--repository", repository)
    assert result.exit_code == 0, result.stderr
    return repository


@pytest.fixture
def repository(exported: Path, tmp_path: Path) -> Path:
    """A copy of the exported repository that a test may change."""
    return Path(shutil.copytree(exported, tmp_path / "model_repository"))


@pytest.fixture
def host() -> Iterator[Host]:
    server = Host()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()
