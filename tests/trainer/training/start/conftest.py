"""A small exported model, made once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.trainer.training.start.models import export_version, perturbed_network, small_spec


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a version of :func:`small_spec` with the weights of :func:`perturbed_network`."""
    spec = small_spec()
    return export_version(perturbed_network(spec), spec, tmp_path_factory.mktemp("repository") / "mine" / "1")


@pytest.fixture
def version(exported: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    copied = tmp_path / "mine" / "1"
    shutil.copytree(exported, copied)
    return copied
