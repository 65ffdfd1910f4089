"""Rollback, trials and removal of published versions."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from exporter.graph.model_files import model_files, sha256_of_files
from exporter.publishing.prepare import prepare
from exporter.publishing.prepared import PreparedModel
from exporter.publishing.publish import publish
from exporter.publishing.triton import Triton
from exporter.publishing.versions import promote, remove, rollback, show_to
from exporter.repository.config import ExecutionConfig, ModelConfig
from exporter.repository.folder import FolderRepository
from exporter.repository.protocol import UNFINISHED
from exporter.repository.validate import validate
from exporter.sources.options import ExportOptions
from gateway.core.runtime import Catalog
from gateway.triton.client import TritonClient
from gateway.triton.local.server import LocalTriton
from gateway.triton.watcher import Watcher
from sixpoint.client import Client
from sixpoint.errors import FailedPrecondition, InvalidArgument, ModelNotFound, ModelSpecError, NotFound
from sixpoint.model_spec import Candidate
from sixpoint.prompts import ExtremePoints
from tests.exporter.command_line import run
from tests.exporter.publish_helpers import asking, states
from tests.support.images import noisy_volume
from tests.support.paths import TRITON_ENVIRONMENT
from tests.support.servers import running_gateway, running_triton


@pytest.fixture
def models(tmp_path: Path, tiny: PreparedModel) -> FolderRepository:
    """A repository with three versions, the last of which serves."""
    made = FolderRepository(tmp_path / "repository")
    for title in ("first", "second", "third"):
        publish(made, titled(tiny, title), triton=None)
    return made


def titled(one: PreparedModel, title: str) -> PreparedModel:
    assert one.config.spec is not None
    return replace(one, config=replace(one.config, spec=one.config.spec.model_copy(update={"title": title})))


def config(models: FolderRepository) -> ModelConfig:
    assert [one.problems for one in validate(models.folder)] == [()]
    return ModelConfig.read(models.folder / "tiny")


def test_rollback_to_earlier_and_later_versions(models: FolderRepository) -> None:
    assert states(models) == {1: ("kept", 0), 2: ("loaded", 0), 3: ("serving", 1)}
    assert rollback(models, "tiny", to=None, triton=None).version == 2
    assert states(models) == {1: ("kept", 0), 2: ("serving", 1), 3: ("kept", 0)}
    assert config(models).spec.title == "second"  # type: ignore[union-attr]
    assert rollback(models, "tiny", to=None, triton=None).version == 1
    with pytest.raises(FailedPrecondition, match=r"no version before the one that serves \(1\)"):
        rollback(models, "tiny", to=None, triton=None)
    assert rollback(models, "tiny", to=3, triton=None).version == 3
    assert config(models).spec.title == "third"  # type: ignore[union-attr]
    with pytest.raises(NotFound, match=r"no version 9 in /.*/repository, only: 1, 2, 3"):
        rollback(models, "tiny", to=9, triton=None)


def test_rollback_follows_the_versions_that_served(models: FolderRepository, tiny: PreparedModel) -> None:
    # 2 and 3 are rolled back; candidate 4 never serves, candidate 5 is promoted, 6 is published after it.
    rollback(models, "tiny", to=1, triton=None)
    publish(models, tiny, triton=None, share=0.5)
    promote(models, "tiny", 4, share=0, triton=None)
    publish(models, tiny, triton=None, share=0.5)
    promote(models, "tiny", 5, share=1, triton=None)
    publish(models, tiny, triton=None)
    assert rollback(models, "tiny", to=None, triton=None).version == 5
    assert rollback(models, "tiny", to=None, triton=None).version == 1
    with pytest.raises(FailedPrecondition, match=r"no version before the one that serves \(1\)"):
        rollback(models, "tiny", to=None, triton=None)
    # Forward to a newer version, then to an older one by promotion.
    rollback(models, "tiny", to=3, triton=None)
    promote(models, "tiny", 2, share=1, triton=None)
    assert rollback(models, "tiny", to=None, triton=None).version == 3
    assert rollback(models, "tiny", to=None, triton=None).version == 1
    assert [one.problems for one in validate(models.folder)] == [()]


def test_rollback_to_a_removed_version_asks_for_another(models: FolderRepository, tiny: PreparedModel) -> None:
    rollback(models, "tiny", to=1, triton=None)
    publish(models, tiny, triton=None)
    remove(models, "tiny", 1, triton=None)
    said = r"version 1 of tiny, which served before version 4, was removed: name the version .* --to, one of: 2, 3"
    with pytest.raises(FailedPrecondition, match=said):
        rollback(models, "tiny", to=None, triton=None)
    assert states(models)[4] == ("serving", 1)
    path = models.folder / "tiny" / "4" / "replaced.json"
    path.write_text("{}")
    with pytest.raises(FailedPrecondition, match=r"replaced.json of version 4 of tiny is damaged: .* \(--to\)"):
        rollback(models, "tiny", to=None, triton=None)
    # An older exporter stored no such record.
    path.unlink()
    assert rollback(models, "tiny", to=None, triton=None).version == 3


def test_a_failed_promotion_leaves_rollback_unchanged(
    models: FolderRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise FailedPrecondition("Triton cannot load it")

    with monkeypatch.context() as patch:
        patch.setattr("exporter.publishing.versions.switch", refuse)
        with pytest.raises(FailedPrecondition, match="cannot load"):
            promote(models, "tiny", 2, share=1, triton=None)
    assert rollback(models, "tiny", to=None, triton=None).version == 2
    assert rollback(models, "tiny", to=None, triton=None).version == 1


def test_a_trial_begins_grows_and_ends(models: FolderRepository, tiny: PreparedModel) -> None:
    rollback(models, "tiny", to=2, triton=None)
    promote(models, "tiny", 3, share=0.1, triton=None)
    assert states(models) == {1: ("kept", 0), 2: ("serving", 0.9), 3: ("candidate", 0.1)}
    assert (config(models).candidate, config(models).spec.title) == (Candidate("3", 0.1), "second")  # type: ignore[union-attr]
    with pytest.raises(FailedPrecondition, match="version 3 of tiny is on trial"):
        promote(models, "tiny", 1, share=0.5, triton=None)
    promote(models, "tiny", 3, share=0, triton=None)
    assert states(models) == {1: ("kept", 0), 2: ("serving", 1), 3: ("kept", 0)}
    # An older version may be on trial, too.
    promote(models, "tiny", 1, share=0.5, triton=None)
    assert states(models) == {1: ("candidate", 0.5), 2: ("serving", 0.5), 3: ("kept", 0)}
    promote(models, "tiny", 1, share=1, triton=None)
    assert states(models) == {1: ("serving", 1), 2: ("kept", 0), 3: ("kept", 0)}
    promote(models, "tiny", 2, share=1, triton=None)
    assert states(models) == {1: ("loaded", 0), 2: ("serving", 1), 3: ("kept", 0)}
    for share, version, expected in ((0, 1, "is not on trial"), (1, 2, "serves already")):
        with pytest.raises(FailedPrecondition, match=expected):
            promote(models, "tiny", version, share=share, triton=None)
    with pytest.raises(InvalidArgument, match="between 0 and 1, got 2"):
        promote(models, "tiny", 1, share=2, triton=None)


def test_a_model_is_shown_to_some_tenants_also_in_versions_to_come(
    models: FolderRepository, tiny: PreparedModel
) -> None:
    assert config(models).tenants is None
    shown = run("tenants", "tiny", "south", "north", "--repository", models.folder)
    assert "tiny is shown to north, south" in shown.stdout
    publish(models, titled(tiny, "fourth"), triton=None)
    rollback(models, "tiny", to=2, triton=None)
    promote(models, "tiny", 3, share=0.5, triton=None)
    assert config(models).tenants == frozenset({"north", "south"})
    assert "every tenant" in run("tenants", "tiny", "--all", "--repository", models.folder).stdout
    assert run("tenants", "tiny", "--repository", models.folder).exit_code != 0
    assert config(models).tenants is None
    assert "sixpoint_tenants" not in (models.folder / "tiny" / "config.pbtxt").read_text()


def test_names_that_no_tenant_has_change_nothing(models: FolderRepository) -> None:
    before = (models.folder / "tiny" / "config.pbtxt").read_bytes()
    with pytest.raises(ModelSpecError, match="lower-case letters"):
        show_to(models, "tiny", frozenset({"North"}), triton=None)
    assert (models.folder / "tiny" / "config.pbtxt").read_bytes() == before


def test_a_version_in_use_is_not_removed(models: FolderRepository) -> None:
    with pytest.raises(FailedPrecondition, match="version 3 of tiny serves: roll back"):
        remove(models, "tiny", 3, triton=None, force=True)
    with pytest.raises(FailedPrecondition, match=r"5 sessions use version 2 of tiny: wait until .* or use --force"):
        remove(models, "tiny", 2, triton=None, sessions=lambda name, version: 5)
    remove(models, "tiny", 2, triton=None, sessions=lambda name, version: 0)
    assert states(models) == {1: ("kept", 0), 3: ("serving", 1)}
    promote(models, "tiny", 1, share=0.5, triton=None)
    with pytest.raises(FailedPrecondition, match="on trial: end the trial first, or use --force"):
        remove(models, "tiny", 1, triton=None)
    remove(models, "tiny", 1, triton=None, force=True)
    assert states(models) == {3: ("serving", 1)}
    assert config(models).candidate is None
    with pytest.raises(ModelNotFound, match="no model 'other'"):
        remove(models, "other", 1, triton=None)


def test_tuned_batch_sizes_above_the_new_limit_are_dropped(models: FolderRepository, tiny: PreparedModel) -> None:
    path = models.folder / "tiny" / "config.pbtxt"
    tuned = replace(ModelConfig.from_text(path.read_text()), execution=ExecutionConfig(preferred=(2, 8), delay_us=500))
    path.write_text(tuned.to_text())
    publish(models, replace(tiny, config=replace(tiny.config, max_batch_size=4)), triton=None)
    assert config(models).execution == ExecutionConfig(preferred=(2,), delay_us=500)


def test_tuning_is_inherited_by_the_next_version(models: FolderRepository, tiny: PreparedModel) -> None:
    path = models.folder / "tiny" / "config.pbtxt"
    tuned = replace(ModelConfig.from_text(path.read_text()), execution=ExecutionConfig(preferred=(2,), delay_us=500))
    path.write_text(tuned.to_text())
    publish(models, tiny, triton=None)
    rollback(models, "tiny", to=1, triton=None)
    assert config(models).execution == tuned.execution
    promote(models, "tiny", 2, share=0.5, triton=None)
    with pytest.raises(FailedPrecondition, match="version 2 of tiny is on trial: end the trial first") as refused:
        publish(models, tiny, triton=None)
    assert f"(exporter promote tiny 2 --share 0 --repository {models.folder})" in refused.value.message
    with pytest.raises(FailedPrecondition, match=f"exporter promote tiny 2 --share 0 --repository {models.folder}"):
        promote(models, "tiny", 3, share=0.5, triton=None)


def taken(models: FolderRepository, folder: Path) -> tuple[int, str, str]:
    """Return the version that is taken when the model's folder is published, its title, and the note about it."""
    work = folder / "work"
    work.mkdir()
    one = prepare(models.folder / "tiny", ExportOptions(tolerance=0.01), name="tiny", folder=work)
    files = {
        sha256_of_files(model_files(models.folder / "tiny" / str(number) / "model.onnx")): number
        for number in (1, 2, 3)
    }
    number = files[sha256_of_files(model_files(one.model))]
    shutil.rmtree(work)
    assert one.config.spec is not None
    return number, one.config.spec.title, one.notes[0]


def test_the_serving_version_of_a_folder_is_published(models: FolderRepository, tmp_path: Path) -> None:
    damage(models.folder / "tiny" / "2" / "model.onnx", by=9)
    damage(models.folder / "tiny" / "3" / "model.onnx")
    assert taken(models, tmp_path) == (3, "third", "version 3 was taken: it serves")
    rollback(models, "tiny", to=2, triton=None)
    assert taken(models, tmp_path) == (2, "second", "version 2 was taken: it serves")
    promote(models, "tiny", 3, share=0.1, triton=None)
    assert taken(models, tmp_path) == (2, "second", "version 2 was taken: it serves")
    promote(models, "tiny", 3, share=0, triton=None)
    (models.folder / "tiny" / "4").mkdir()
    (models.folder / "tiny" / "4" / UNFINISHED).touch()
    assert taken(models, tmp_path) == (2, "second", "version 2 was taken: it serves")
    # A config that serves the newest versions, the last of which is unfinished.
    path = models.folder / "tiny" / "config.pbtxt"
    path.write_text(replace(ModelConfig.from_text(path.read_text()), served=()).to_text())
    said = "version 3 was taken, the newest finished one: the config names no finished version to serve"
    assert taken(models, tmp_path) == (3, "third", said)
    for number in (1, 2, 3):
        (models.folder / "tiny" / str(number) / UNFINISHED).touch()
    with pytest.raises(InvalidArgument, match="it has no finished version"):
        taken(models, tmp_path)


def test_the_version_taken_from_a_folder_is_reported(models: FolderRepository, tmp_path: Path) -> None:
    rollback(models, "tiny", to=2, triton=None)
    done = run("publish", models.folder / "tiny", "--repository", tmp_path / "other")
    assert done.exit_code == 0, done.stderr
    assert "note: version 2 was taken: it serves\n" in done.stdout
    assert ModelConfig.read(tmp_path / "other" / "tiny").spec.title == "second"  # type: ignore[union-attr]


@pytest.fixture
def running(models: FolderRepository) -> Iterator[LocalTriton]:
    if not TRITON_ENVIRONMENT.is_dir():
        pytest.skip("Triton is not installed: make triton")
    with running_triton(models.folder) as triton:
        yield triton


def damage(path: Path, *, by: float = -10) -> None:
    """Change a model's answers after it was published."""
    model = onnx.load(path)
    for weight in model.graph.initializer:
        if weight.name == "ten":
            weight.CopyFrom(numpy_helper.from_array(np.array(by, np.float32), "ten"))
    onnx.save(model, path)


@pytest.mark.triton
async def test_the_gateway_follows_what_triton_serves(models: FolderRepository, running: LocalTriton) -> None:
    def changed() -> None: ...

    catalog = Catalog()
    sessions = [f"session {number}" for number in range(200)]
    async with TritonClient(running.address) as client:
        watcher = Watcher(client=client, catalog=catalog, interval=1, changed=changed)

        async def given() -> dict[str, int]:
            await watcher.look()
            model = catalog.get("tiny", tenant="default")
            versions = [model.version_for(session) for session in sessions]
            tensor = np.zeros(model.spec.input_shape, np.float16)
            for version in set(versions):
                assert (await client.infer(model, tensor, timeout=10, version=version)).version == version
            return {version: versions.count(version) for version in sorted(set(versions))}

        with Triton(running.address, timeout=30) as triton, asking(running.address, by_version=False) as asked:
            assert await given() == {"3": 200}
            before = catalog.get("tiny", tenant="default")
            rollback(models, "tiny", to=2, triton=triton)
            # Between two polls of the gateway, the serving version answers in place of the removed one.
            tensor = np.zeros(before.spec.input_shape, np.float16)
            assert (await client.infer(before, tensor, timeout=10)).version == "2"
            assert await given() == {"2": 200}
            promote(models, "tiny", 3, share=0.25, triton=triton)
            shared = await given()
            assert set(shared) == {"2", "3"}
            assert 30 <= shared["3"] <= 70
            promote(models, "tiny", 3, share=1, triton=triton)
            assert await given() == {"3": 200}
            damage(models.folder / "tiny" / "1" / "model.onnx")
            with pytest.raises(FailedPrecondition, match=r"version 1 in Triton differs from the model .* by 1"):
                rollback(models, "tiny", to=1, triton=triton)
            assert await given() == {"3": 200}
            remove(models, "tiny", 2, triton=triton)
            assert await given() == {"3": 200}
        assert asked.failures == {}


@pytest.mark.triton
def test_a_version_that_sessions_use_is_not_removed(models: FolderRepository, running: LocalTriton) -> None:
    points = ExtremePoints([(8, 18, 16), (32, 18, 16), (20, 6, 16), (20, 30, 16), (20, 18, 6), (20, 18, 26)])
    where = ("--repository", models.folder, "--triton", running.address)
    assert run("rollback", "tiny", "--to", 2, *where).exit_code == 0
    with running_gateway(triton_url=running.address) as gateway:
        address = f"127.0.0.1:{gateway.port}"
        remove_2 = ("remove", "tiny", 2, "--gateway", address, *where)
        with Client(address, owner="anna") as anna, Client(address, owner="bert") as bert:
            # One session shows an answer of version 2; another would get version 2 next, were version 3 not promoted.
            shows = anna.open_session(noisy_volume(), model="tiny")
            shows.annotate(points)
            fresh = [bert.open_session(noisy_volume(), model="tiny") for _ in range(8)]
            assert {one.id for one in bert.sessions(model="tiny", version="2")} == {one.id for one in fresh}
            assert bert.count_sessions(model="tiny", version="2") == 9
            assert (bert.count_sessions(model="tiny", version="3"), bert.count_sessions(model="other")) == (0, 0)
            with pytest.raises(InvalidArgument, match="without a model"):
                bert.sessions(version="2")

            assert run("promote", "tiny", 3, "--share", 0.5, *where).exit_code == 0
            taken = [one.id for one in [shows, *fresh] if Candidate("3", 0.5).serves(one.id)]
            wait_until(lambda: bert.count_sessions(model="tiny", version="3") == len(taken))
            assert {one.id for one in bert.sessions(model="tiny", version="3")} == set(taken) - {shows.id}

            assert run("promote", "tiny", 3, "--share", 1, *where).exit_code == 0
            wait_until(lambda: bert.count_sessions(model="tiny", version="2") == 1)
            done = run(*remove_2)
            assert (done.exit_code, done.stderr.count("\n")) == (5, 1), done.stderr
            assert "1 session uses version 2 of tiny: wait until they are closed" in done.stderr
            assert "sixpoint sessions --model tiny --version 2" in done.stderr
            assert states(models)[2] == ("loaded", 0)
            shows.annotate(points)  # answered by version 3
            assert run(*remove_2).stdout == "tiny version 2 is removed\n"

            shutil.copytree(models.folder / "tiny", models.folder / "other")
            done = run("remove", "other", 1, "--gateway", address, "--repository", models.folder)
            assert (done.exit_code, done.stderr.count("\n")) == (4, 1), done.stderr
            assert "does not serve other" in done.stderr
    away = ("remove", "tiny", 1, "--gateway", address, "--repository", models.folder)
    assert run(*away).exit_code == 7
    assert 1 in states(models)
    assert run(*away, "--force").exit_code == 0


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for the gateway, which polls Triton ten times a second."""
    for _ in range(100):
        if condition():
            return
        time.sleep(0.1)
    pytest.fail("the gateway has not noticed")


def test_the_commands(models: FolderRepository, tmp_path: Path) -> None:
    where = ("--repository", models.folder)
    listed = json.loads(run("versions", "tiny", *where, "--json").stdout)
    assert [one["state"] for one in listed] == ["kept", "loaded", "serving"]
    output = run("versions", "tiny", *where).stdout
    assert "serving" in output
    assert "…" not in output  # it fits a terminal of 80 columns
    assert run("rollback", "tiny", *where).stdout.startswith("tiny version 2 serves\n")
    assert run("promote", "tiny", 3, "--share", 0.1, *where).stdout.startswith("tiny version 3 is on trial for 10% of")
    assert run("remove", "tiny", 1, *where).stdout == "tiny version 1 is removed\n"
    damage(models.folder / "tiny" / "2" / "model.onnx")
    found = json.loads(run("diff", "tiny", 2, 3, *where, "--json").stdout)
    assert found["fields"]["spec.title"] == ["second", "third"]
    assert found["answers"]["largest"] == 1.0
    assert "answers (phantom): largest difference 1.00000" in run("diff", "tiny", 2, 3, *where).stdout
    refused = {
        ("remove", "tiny", 2): 5,
        ("rollback", "tiny", "--to", 7): 4,
        ("versions", "other"): 4,
        ("promote", "tiny", 3, "--share", 7): 3,
        ("remove", "tiny", 3, "--gateway", "here"): 3,
    }
    for arguments, code in refused.items():
        done = run(*arguments, *where)
        assert (done.exit_code, done.stderr.count("\n")) == (code, 1), done.stderr
