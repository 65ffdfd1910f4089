"""A repository in an object store that speaks S3 over HTTP."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import obstore
import pytest
from obstore.store import from_url

from exporter.publishing.prepared import PreparedModel
from exporter.publishing.publish import publish
from exporter.publishing.status import list_versions
from exporter.publishing.versions import promote, remove, rollback
from exporter.repository.config import ModelConfig
from exporter.repository.lease import Lease
from exporter.repository.object_store import _LOCK, ObjectStoreRepository
from exporter.repository.protocol import UNFINISHED
from exporter.repository.validate import validate
from sixpoint.errors import Aborted, FailedPrecondition, InvalidArgument, Unavailable
from tests.exporter.command_line import run
from tests.exporter.publish_helpers import prepared_model
from tests.support.ports import free_port


@pytest.fixture
def url(s3_environment: None, tmp_path: Path) -> str:
    """The URL of an empty repository."""
    return f"s3://models/{tmp_path.name.lower().replace('_', '-')}"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> PreparedModel:
    return prepared_model(tmp_path_factory.mktemp("tiny"))


def downloaded(url: str, folder: Path) -> Path:
    """Download all objects of a repository to a folder."""
    store = from_url(url)
    for page in obstore.list(store):
        for entry in page:
            path = folder / entry["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes(obstore.get(store, entry["path"]).bytes()))
    return folder


def test_versions_are_published_rolled_back_promoted_and_removed(url: str, tiny: PreparedModel, tmp_path: Path) -> None:
    models = ObjectStoreRepository(url, lease=5)
    assert [publish(models, tiny, triton=None).version for _ in range(3)] == [1, 2, 3]
    assert rollback(models, "tiny", to=None, triton=None).version == 2
    promote(models, "tiny", 3, share=0.1, triton=None)
    remove(models, "tiny", 1, triton=None)
    assert [(one.version, one.state) for one in list_versions(models, "tiny")] == [(2, "serving"), (3, "candidate")]
    copy = downloaded(url, tmp_path / "copy")
    assert [one.problems for one in validate(copy)] == [()]
    assert ModelConfig.read(copy / "tiny").served == (2, 3)
    assert not list(copy.rglob(".*"))  # no lock and no mark is left
    with pytest.raises(FailedPrecondition, match="version 3 of tiny is on trial"):
        publish(models, tiny, triton=None)


def test_files_of_a_killed_publisher_are_removed(url: str, tiny: PreparedModel) -> None:
    models = ObjectStoreRepository(url, lease=5)
    publish(models, tiny, triton=None)
    models.write("tiny/2/version.json", b"{}")  # interrupted before the model file
    models.write("tiny/3/model.onnx", b"whole, and named by no config")
    models.write(f"tiny/3/{UNFINISHED}", b"")
    assert publish(models, tiny, triton=None).version == 2
    assert models.versions("tiny") == [1, 2]


@pytest.mark.parametrize("done", range(6))
def test_an_unfinished_first_version_is_never_served(
    done: int, url: str, tiny: PreparedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    models, put = ObjectStoreRepository(url, lease=5), obstore.put
    puts: list[str] = []

    class Killed(BaseException):
        """Ends the publisher: no code catches it."""

    def dying(store: Any, path: str, *others: Any, **named: Any) -> Any:
        if path.startswith("tiny/"):
            if len(puts) == done:
                raise Killed
            puts.append(path)
        return put(store, path, *others, **named)

    with monkeypatch.context() as patched:
        patched.setattr(obstore, "put", dying)
        with pytest.raises(Killed):
            publish(models, tiny, triton=None)
    assert models.read("tiny/config.pbtxt") is None
    assert not models.versions("tiny") or models.read(f"tiny/1/{UNFINISHED}") is not None
    assert publish(models, tiny, triton=None).version == 1
    assert [(one.version, one.state) for one in list_versions(models, "tiny")] == [(1, "serving")]


def test_a_lock_is_renewed_and_taken_over_from_a_dead_holder(url: str) -> None:
    store = from_url(url)
    with (
        Lease(store, "lock", seconds=0.8, wait=0),
        pytest.raises(FailedPrecondition, match="another exporter is writing"),
        Lease(store, "lock", seconds=0.8, wait=0.5),
    ):
        pass
    obstore.put(store, "lock", b"of one who was killed")
    entered: list[int] = []

    def take(number: int) -> None:
        with Lease(store, "lock", seconds=0.8, wait=20):
            entered.append(number)
            assert entered.count(number) == 1
            before = len(entered)
            time.sleep(0.2)
            assert len(entered) == before  # no other thread has entered

    threads = [threading.Thread(target=take, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(entered) == [0, 1, 2]


def test_a_holder_notices_that_the_lock_was_lost(url: str) -> None:
    store = from_url(url)
    with Lease(store, "lock", seconds=0.6, wait=0) as lease:
        obstore.put(store, "lock", b"taken over by another")
        time.sleep(1.0)
        with pytest.raises(Aborted, match="the lock on the repository was lost"):
            lease.check()
    # The lock belongs to the other writer.
    assert bytes(obstore.get(store, "lock").bytes()) == b"taken over by another"


@pytest.mark.parametrize("change", ["write", "delete", "drop", "sweep"])
def test_nothing_is_changed_without_the_lock(change: str, url: str, tiny: PreparedModel) -> None:
    models, store = ObjectStoreRepository(url, lease=0.6), from_url(url)
    # With its usual time: a busy machine loses a lock of 0.6 s.
    publish(ObjectStoreRepository(url), tiny, triton=None)
    obstore.put(store, "tiny/2/card.json", b"cut off")
    before = sorted(entry["path"] for page in obstore.list(store, prefix="tiny") for entry in page)
    changes = {
        "write": lambda: models.write("tiny/1/card.json", b""),
        "delete": lambda: models.delete("tiny/1/card.json"),
        "drop": lambda: models.drop("tiny", 1),
        "sweep": lambda: models.sweep("tiny"),
    }
    with models.lock(wait=0):
        obstore.put(store, _LOCK, b"taken over by another")
        time.sleep(1.0)
        with pytest.raises(Aborted, match="the lock on the repository was lost"):
            changes[change]()
    assert sorted(entry["path"] for page in obstore.list(store, prefix="tiny") for entry in page) == before


def test_the_command_publishes_to_an_object_store(url: str, exported: Path) -> None:
    done = run("publish", exported / "tiny", "--name", "net", "--repository", url)
    assert done.exit_code == 0, done.stderr
    assert "net version 1 serves" in done.stdout
    assert "serving" in run("versions", "net", "--repository", url).stdout


def test_an_unreachable_store_is_reported(url: str, tiny: PreparedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidArgument, match="expected s3://bucket/prefix"):
        ObjectStoreRepository("s3://")
    monkeypatch.setenv("AWS_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setattr("sixpoint.io.object_store._RETRIES", {"max_retries": 0})
    with pytest.raises(Unavailable, match="the object store cannot be used"):
        publish(ObjectStoreRepository(url), tiny, triton=None)
