"""The version that was published of a file before is found, whatever its publisher was killed after."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from exporter.graph.precision import NumericPrecision
from exporter.publishing.prepared import PreparedModel
from exporter.publishing.publish import publish
from exporter.publishing.status import find_published
from exporter.repository.folder import FolderRepository
from exporter.repository.protocol import UNFINISHED
from exporter.repository.view import finished_versions
from sixpoint.errors import FailedPrecondition, InvalidArgument
from tests.exporter.command_line import run

FP32 = NumericPrecision.FP32


@pytest.fixture
def models(tmp_path: Path) -> FolderRepository:
    return FolderRepository(tmp_path / "repository")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(b"weights")
    return path


def made_of(tiny: PreparedModel, checkpoint: Path) -> PreparedModel:
    spec = tiny.config.spec
    assert spec is not None
    provenance = {**spec.provenance, "checkpoint_sha256": hashlib.sha256(checkpoint.read_bytes()).hexdigest()}
    return replace(tiny, config=replace(tiny.config, spec=spec.model_copy(update={"provenance": provenance})))


def test_a_version_of_the_same_file_is_found(models: FolderRepository, tiny: PreparedModel, checkpoint: Path) -> None:
    assert find_published(models, "tiny", checkpoint, precision=FP32) is None
    publish(models, tiny, triton=None)
    assert find_published(models, "tiny", checkpoint, precision=FP32) is None
    publish(models, made_of(tiny, checkpoint), triton=None)
    publish(models, tiny, triton=None)
    found = find_published(models, "tiny", checkpoint, precision=FP32)
    assert found is not None
    assert (found.version, found.state) == (2, "loaded")
    assert find_published(models, "tiny", checkpoint, precision=NumericPrecision.FP16) is None
    checkpoint.write_bytes(b"other weights")
    assert find_published(models, "tiny", checkpoint, precision=FP32) is None


def test_what_a_killed_publisher_left_counts_if_it_serves(
    models: FolderRepository, tiny: PreparedModel, checkpoint: Path
) -> None:
    publish(models, tiny, triton=None)
    publish(models, made_of(tiny, checkpoint), triton=None)
    # Killed just before its last step: sessions have the version.
    models.write(f"tiny/2/{UNFINISHED}", b"")
    found = find_published(models, "tiny", checkpoint, precision=FP32)
    assert found is not None
    assert (found.version, found.state) == (2, "serving")
    # Killed before any session had it.
    config = models.read("tiny/config.pbtxt")
    assert config is not None
    publish(models, replace(tiny, config=made_of(tiny, checkpoint).config), triton=None)
    models.write("tiny/config.pbtxt", config)
    models.write(f"tiny/3/{UNFINISHED}", b"")
    found = find_published(models, "tiny", checkpoint, precision=FP32)
    assert found is not None
    assert found.version == 2
    assert finished_versions(models, "tiny") == [1, 2]


def test_the_command_publishes_nothing_twice(models: FolderRepository, tiny: PreparedModel, checkpoint: Path) -> None:
    publish(models, made_of(tiny, checkpoint), triton=None)
    where = ("--name", "tiny", "--repository", models.folder, "--once", "--json")
    done = run("publish", checkpoint, *where)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["version"] == 1
    assert finished_versions(models, "tiny") == [1]
    refused = run("publish", models.folder / "tiny", *where)
    assert refused.exit_code != 0
    assert "--once needs a file" in refused.output
    with pytest.raises(InvalidArgument, match="--once needs a file"):
        find_published(models, "tiny", models.folder / "tiny", precision=FP32)


def test_a_version_that_was_compared_with_another_than_serves_is_refused(
    models: FolderRepository, tiny: PreparedModel
) -> None:
    with pytest.raises(FailedPrecondition, match=r"no version of tiny serves now, expected version 1 \(--replaces\)"):
        publish(models, tiny, triton=None, replaces=1)
    assert publish(models, tiny, triton=None, replaces=0).version == 1
    assert publish(models, tiny, triton=None, replaces=1).version == 2
    for wanted in (0, 1):
        with pytest.raises(FailedPrecondition, match=r"version 2 of tiny serves now, expected (none|version 1)"):
            publish(models, tiny, triton=None, replaces=wanted, force=True)
    assert models.versions("tiny") == [1, 2]
