"""The copy of the shipped models: made once, kept, and never overwritten where something was published."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from gateway.triton.local.shipped_models import update_models
from sixpoint.errors import FailedPrecondition
from tests.support.models import CLICKS_SPEC, ELLIPSOID_SPEC, write_ellipsoid_model


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    write_ellipsoid_model(tmp_path / "checkout" / "organ")
    _record(tmp_path / "checkout" / "organ" / "1")
    return tmp_path / "checkout"


@pytest.fixture
def served(tmp_path: Path) -> Path:
    return tmp_path / "state" / "model_repository"


def _record(version: Path) -> None:
    (version / "version.json").write_text(f"published with {version.name} at {os.urandom(4).hex()}")


def ship(shipped: Path, number: int) -> None:
    """Put a newer version in the place of the shipped one."""
    (old,) = (path for path in (shipped / "organ").iterdir() if path.is_dir())
    old.rename(shipped / "organ" / str(number))
    _record(shipped / "organ" / str(number))


def publish(served: Path, number: int) -> None:
    """Publish a version as the exporter does: it is pinned."""
    shutil.copytree(served / "organ" / "1", served / "organ" / str(number))
    _record(served / "organ" / str(number))
    _pin(served, number)


def _pin(repository: Path, number: int) -> None:
    def pin(config: model_config_pb2.ModelConfig) -> None:
        config.version_policy.specific.versions[:] = [number]

    _edit(repository / "organ", pin)


def _edit(model: Path, change: Callable[[model_config_pb2.ModelConfig], None]) -> None:
    path = model / "config.pbtxt"
    config = text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())
    change(config)
    path.write_text(text_format.MessageToString(config))


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def versions(served: Path) -> list[str]:
    return sorted(path.name for path in (served / "organ").iterdir() if path.is_dir())


def test_the_first_start_copies_and_the_next_changes_nothing(shipped: Path, served: Path) -> None:
    before = content(shipped)
    assert update_models(shipped, served) == []
    assert content(served / "organ") == content(shipped / "organ")
    (served / "organ" / "README.md").write_text("notes of mine")
    copied = content(served)
    assert update_models(shipped, served) == []
    assert content(served) == copied
    assert content(shipped) == before


def test_a_newer_shipped_version_serves_if_nothing_was_published(shipped: Path, served: Path) -> None:
    update_models(shipped, served)
    ship(shipped, 2)
    assert update_models(shipped, served) == [f"organ: version 2 is new in {shipped} and serves"]
    assert content(served / "organ") == content(shipped / "organ")
    assert update_models(shipped, served) == []


def test_an_update_that_was_killed_is_completed(shipped: Path, served: Path) -> None:
    update_models(shipped, served)
    ship(shipped, 2)
    # Killed after the new version was copied, and after the config.
    shutil.copytree(shipped / "organ" / "2", served / "organ" / "2")
    shutil.copyfile(shipped / "organ" / "config.pbtxt", served / "organ" / "config.pbtxt")
    update_models(shipped, served)
    assert content(served / "organ") == content(shipped / "organ")


@pytest.mark.parametrize(("number", "free"), [(2, 3), (5, 5)])
def test_a_newer_shipped_version_lies_beside_what_was_published(
    shipped: Path, served: Path, number: int, free: int
) -> None:
    update_models(shipped, served)
    publish(served, 2)
    before = content(served / "organ")
    ship(shipped, number)
    (note,) = update_models(shipped, served)
    assert note.endswith(f"exporter promote organ {free} --share 1 --repository {served}")
    after = content(served / "organ")
    assert {name: after[name] for name in before} == before
    assert content(served / "organ" / str(free)) == content(shipped / "organ" / str(number))
    assert update_models(shipped, served) == []


def test_a_version_that_was_published_and_rolled_back_stays(shipped: Path, served: Path) -> None:
    _pin(shipped, 1)
    update_models(shipped, served)
    publish(served, 2)
    _pin(served, 1)  # as a rollback does: the config is again as it was copied
    before = content(served / "organ")
    ship(shipped, 2)
    _pin(shipped, 2)
    (note,) = update_models(shipped, served)
    assert "it is version 3" in note
    after = content(served / "organ")
    assert {name: after[name] for name in before} == before
    assert content(served / "organ" / "3") == content(shipped / "organ" / "2")


def test_a_removed_version_stays_removed_when_another_is_shipped(shipped: Path, served: Path) -> None:
    shutil.copytree(shipped / "organ" / "1", shipped / "organ" / "2")
    _record(shipped / "organ" / "2")
    _pin(shipped, 2)
    update_models(shipped, served)
    shutil.rmtree(served / "organ" / "1")
    shutil.copytree(shipped / "organ" / "2", shipped / "organ" / "3")
    _record(shipped / "organ" / "3")
    _pin(shipped, 3)
    update_models(shipped, served)
    assert versions(served) == ["2", "3"]


def test_a_copy_that_was_killed_before_its_record_is_not_made_twice(shipped: Path, served: Path) -> None:
    update_models(shipped, served)
    publish(served, 2)
    ship(shipped, 3)
    shutil.copytree(shipped / "organ" / "3", served / "organ" / "3")
    assert update_models(shipped, served) == []
    assert versions(served) == ["1", "2", "3"]


def test_a_version_of_another_kind_is_not_added(shipped: Path, served: Path) -> None:
    update_models(shipped, served)
    publish(served, 2)
    before = content(served / "organ")
    shutil.rmtree(shipped / "organ")
    write_ellipsoid_model(shipped / "organ", spec=CLICKS_SPEC.model_copy(update={"input": ELLIPSOID_SPEC.input}))
    ship(shipped, 9)
    (note,) = update_models(shipped, served)
    assert "version 9 is new" in note
    assert "publish it under another --name" in note
    assert content(served / "organ") == before


def test_what_was_deleted_stays_deleted(shipped: Path, served: Path) -> None:
    update_models(shipped, served)
    publish(served, 2)
    shutil.rmtree(served / "organ" / "1")
    update_models(shipped, served)
    assert versions(served) == ["2"]
    shutil.rmtree(served / "organ")
    update_models(shipped, served)
    assert not (served / "organ").exists()


def test_a_model_that_was_published_before_the_first_start_stays(shipped: Path, served: Path) -> None:
    shutil.copytree(shipped / "organ", served / "organ")
    _record(served / "organ" / "1")
    _pin(served, 1)
    before = content(served / "organ")
    (note,) = update_models(shipped, served)
    assert "it is version 2" in note
    after = content(served / "organ")
    assert {name: after[name] for name in before} == before


def test_a_lost_record_copies_nothing_twice(shipped: Path, served: Path) -> None:
    update_models(shipped, served)
    for text in ("", "[]", json.dumps({"organ": 1})):
        (served / ".shipped.json").write_text(text)
        assert update_models(shipped, served) == []
    assert versions(served) == ["1"]


def test_a_copy_without_config_is_left_alone(shipped: Path, served: Path) -> None:
    update_models(shipped, served)
    (served / "organ" / "config.pbtxt").unlink()
    ship(shipped, 2)
    (note,) = update_models(shipped, served)
    assert "a config cannot be read" in note


def test_a_copy_needs_no_checkout(shipped: Path, served: Path) -> None:
    with pytest.raises(FailedPrecondition, match="there are no models: neither"):
        update_models(shipped / "none", served)
    update_models(shipped, served)
    assert update_models(shipped / "none", served) == []


def test_an_exporter_at_work_is_left_alone(shipped: Path, served: Path) -> None:
    update_models(shipped, served)
    ship(shipped, 2)
    descriptor = os.open(served, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        (note,) = update_models(shipped, served, wait=0.2)
    finally:
        os.close(descriptor)
    assert "another process is writing" in note
    assert versions(served) == ["1"]
