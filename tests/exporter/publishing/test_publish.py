"""Publishing to the real Triton: a version serves at every moment, and failed versions leave nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from exporter.publishing.prepared import PreparedModel
from exporter.publishing.publish import publish
from exporter.publishing.triton import Triton
from exporter.repository.config import ModelConfig
from exporter.repository.folder import FolderRepository
from exporter.repository.validate import validate
from gateway.triton.local.server import LocalTriton
from sixpoint.errors import DeadlineExceeded, FailedPrecondition, InvalidArgument, TritonUnavailable
from sixpoint.model_spec import Candidate
from tests.exporter.command_line import run
from tests.exporter.publish_helpers import asking
from tests.support.models import write_ellipsoid_model
from tests.support.paths import TRITON_ENVIRONMENT
from tests.support.ports import free_port
from tests.support.servers import running_triton

PUBLISHES = int(os.environ.get("EXPORTER_PUBLISHES", "12"))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTriton]:
    """A Triton of this module; each test uses other model names."""
    if not TRITON_ENVIRONMENT.is_dir():
        pytest.skip("Triton is not installed: make triton")
    repository = tmp_path_factory.mktemp("served") / "repository"
    write_ellipsoid_model(repository / "resident")
    with running_triton(repository) as running:
        yield running


@pytest.fixture
def models(served: LocalTriton) -> FolderRepository:
    return FolderRepository(served.settings.model_repository)


@pytest.fixture
def triton(served: LocalTriton) -> Iterator[Triton]:
    with Triton(served.address, timeout=30) as connection:
        yield connection


def named(one: PreparedModel, name: str) -> PreparedModel:
    return replace(one, config=replace(one.config, name=name))


def inverted(one: PreparedModel, folder: Path) -> PreparedModel:
    """The same model with a file that gives other answers than its parity report states."""
    model = onnx.load(one.model)
    for weight in model.graph.initializer:
        if weight.name == "ten":
            weight.CopyFrom(numpy_helper.from_array(np.array(-10, np.float32), "ten"))
    path = folder / "model.onnx"
    onnx.save(model, path)
    return replace(one, model=path)


def problems(models: FolderRepository) -> list[str]:
    return [problem for one in validate(models.folder) if one.name != "resident" for problem in one.problems]


@pytest.mark.triton
def test_a_version_serves_at_every_moment_of_many_publishes(
    models: FolderRepository, triton: Triton, tiny: PreparedModel
) -> None:
    publish(models, tiny, triton=triton)
    with (
        asking(triton.endpoints[0].address, by_version=False) as plain,
        asking(triton.endpoints[0].address, by_version=True) as by_version,
    ):
        for number in range(2, PUBLISHES + 2):
            assert publish(models, tiny, triton=triton).version == number
    for asked in (plain, by_version):
        assert asked.failures == {}
        assert len(asked.answers) > PUBLISHES // 2
    assert problems(models) == []
    assert ModelConfig.read(models.folder / "tiny").served == (PUBLISHES, PUBLISHES + 1)


@pytest.mark.triton
def test_tritons_agreement_is_stored_with_the_version(
    models: FolderRepository, triton: Triton, tiny: PreparedModel
) -> None:
    published = publish(models, named(tiny, "kept"), triton=triton)
    report = json.loads((models.folder / "kept" / "1" / "parity.json").read_text())
    assert report["triton"] == {"largest": 0.0, "dice": 1.0}
    assert report["sample"] == "phantom"
    assert report == published.parity.model_dump()
    card = json.loads((models.folder / "kept" / "card.json").read_text())
    assert card["versions"]["1"]["parity"] == report
    assert "| 1 | fp32 | phantom | onnxruntime |" in (models.folder / "kept" / "README.md").read_text()


@pytest.mark.triton
def test_a_version_that_fails_verification_is_removed_and_the_old_one_serves(
    models: FolderRepository, triton: Triton, tiny: PreparedModel, tmp_path: Path
) -> None:
    good = named(tiny, "steady")
    publish(models, good, triton=triton)
    before = (models.folder / "steady" / "config.pbtxt").read_text()
    refused = pytest.raises(
        FailedPrecondition, match=r"version 2 in Triton differs from the model that was given by 1\.0000"
    )
    with asking(triton.endpoints[0].address, name="steady", by_version=True) as asked, refused:
        publish(models, inverted(good, tmp_path), triton=triton)
    assert asked.failures == {}
    assert models.versions("steady") == [1]
    assert (models.folder / "steady" / "config.pbtxt").read_text() == before
    assert [one for one, (state, _) in triton.version_states("steady").items() if state == "READY"] == [1]
    # Triton has seen number 2, which is not used again.
    assert publish(models, good, triton=triton).version == 3


@pytest.mark.triton
def test_a_version_that_takes_too_long_is_removed_and_the_old_one_serves(
    models: FolderRepository, triton: Triton, tiny: PreparedModel
) -> None:
    timed = named(tiny, "timed")
    assert publish(models, timed, triton=triton, max_slowdown=2.0).speed is None
    with pytest.raises(
        FailedPrecondition, match=r"timed takes .* s of version 1, which serves; 0\.01 times is allowed"
    ):
        publish(models, timed, triton=triton, max_slowdown=0.01)
    assert models.versions("timed") == [1]
    assert {version for version, (state, _) in triton.version_states("timed").items() if state == "READY"} == {1}
    published = publish(models, timed, triton=triton, max_slowdown=1000.0)
    assert published.version == 3  # Triton has seen 2
    assert published.speed is not None
    assert min(published.speed.new, published.speed.serving) > 0
    assert problems(models) == []


@pytest.mark.triton
def test_a_version_that_triton_cannot_load_is_removed_and_the_old_one_serves(
    models: FolderRepository, triton: Triton, tiny: PreparedModel, tmp_path: Path
) -> None:
    broken = tmp_path / "model.onnx"
    broken.write_bytes(b"not a model")
    publish(models, named(tiny, "solid"), triton=triton)
    refused = pytest.raises(FailedPrecondition, match="load failed for model 'solid'")
    with asking(triton.endpoints[0].address, name="solid", by_version=False) as asked, refused:
        publish(models, replace(named(tiny, "solid"), model=broken), triton=triton)
    assert asked.failures == {}
    assert set(asked.answers) == {"1"}
    assert models.versions("solid") == [1]


@pytest.mark.triton
def test_a_config_that_does_not_name_its_model_is_pinned_in_its_folder(
    tiny: PreparedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = FolderRepository(tmp_path)
    publish(repository, tiny, triton=None)
    path = tmp_path / "tiny" / "config.pbtxt"
    path.write_text(replace(ModelConfig.from_text(path.read_text()), name="", served=()).to_text())
    assert problems(repository) == []
    written: list[str] = []
    write = FolderRepository.write

    def record(self: FolderRepository, path: str, content: bytes) -> None:
        written.append(path)
        write(self, path, content)

    monkeypatch.setattr(FolderRepository, "write", record)
    publish(repository, tiny, triton=None)
    assert {name.partition("/")[0] for name in written} == {"tiny"}
    assert problems(repository) == []


def test_a_new_model_that_fails_is_removed(
    models: FolderRepository, triton: Triton, tiny: PreparedModel, tmp_path: Path
) -> None:
    with pytest.raises(FailedPrecondition, match="version 1 in Triton"):
        publish(models, inverted(named(tiny, "unborn"), tmp_path), triton=triton)
    assert not (models.folder / "unborn").exists()
    assert not [state for state, _ in triton.version_states("unborn").values() if state == "READY"]


@pytest.mark.triton
def test_a_candidate_is_served_beside_the_serving_version(
    models: FolderRepository, triton: Triton, tiny: PreparedModel
) -> None:
    model = named(tiny, "tried")
    publish(models, model, triton=triton)
    publish(models, model, triton=triton, share=0.25)
    config = ModelConfig.read(models.folder / "tried")
    assert (config.served, config.candidate) == ((1, 2), Candidate("2", 0.25))
    with pytest.raises(FailedPrecondition, match="version 2 of tried is on trial: end the trial first"):
        publish(models, model, triton=triton)


@pytest.mark.triton
def test_a_polling_triton_is_waited_for(tiny: PreparedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = LocalTriton._arguments

    def polling(self: LocalTriton, backends: Path, prefix: str) -> list[str]:
        others = [
            one for one in arguments(self, backends, prefix) if "model-control" not in one and "--load" not in one
        ]
        return [*others, "--model-control-mode=poll", "--repository-poll-secs=1"]

    monkeypatch.setattr(LocalTriton, "_arguments", polling)
    repository = tmp_path / "polled"
    write_ellipsoid_model(repository / "resident")
    models = FolderRepository(repository)
    broken = tmp_path / "model.onnx"
    broken.write_bytes(b"not a model")
    with running_triton(repository) as running, Triton(running.address, timeout=30) as triton:
        assert publish(models, tiny, triton=triton).version == 1
        with asking(triton.endpoints[0].address, by_version=True) as asked:
            assert publish(models, tiny, triton=triton).version == 2
            with pytest.raises(FailedPrecondition, match="Triton cannot load tiny"):
                publish(models, replace(tiny, model=broken), triton=triton)
        assert asked.failures == {}
        assert models.versions("tiny") == [1, 2]


@pytest.mark.triton
def test_a_triton_that_serves_another_repository_is_reported(
    triton: Triton, served: LocalTriton, tiny: PreparedModel, tmp_path: Path
) -> None:
    other = FolderRepository(tmp_path / "other")
    with pytest.raises(FailedPrecondition, match="elsewhere"):
        publish(other, named(tiny, "elsewhere"), triton=triton)
    assert not (tmp_path / "other" / "elsewhere").exists()
    publish(other, named(tiny, "resident"), triton=None)
    with (
        Triton(served.address, timeout=1) as hasty,
        pytest.raises(DeadlineExceeded, match="check that it serves this repository"),
    ):
        publish(other, named(tiny, "resident"), triton=hasty)
    assert other.versions("resident") == [1]


def test_an_unreachable_triton_leaves_the_repository_unchanged(tiny: PreparedModel, tmp_path: Path) -> None:
    models = FolderRepository(tmp_path / "models")
    address = f"127.0.0.1:{free_port()}"
    with Triton(address) as away, pytest.raises(TritonUnavailable, match=address):
        publish(models, tiny, triton=away)
    assert not (tmp_path / "models" / "tiny").exists()
    with pytest.raises(InvalidArgument, match="host:port"):
        Triton("localhost")


@pytest.mark.triton
def test_the_command_publishes_a_checkpoint_and_an_exported_model(
    checkpoint: Path, spec_file: Path, exported: Path, served: LocalTriton
) -> None:
    where = ("--repository", served.settings.model_repository, "--triton", served.address)
    done = run("publish", checkpoint, "--spec", spec_file, "--name", "net", *where)
    assert done.exit_code == 0, done.stderr
    assert "net version 1 serves" in done.stdout
    assert "ONNX Runtime against pytorch (phantom)" in done.stdout
    assert "Triton against pytorch (phantom)" in done.stdout
    done = run("publish", exported / "tiny", "--name", "net", "--share", 0.1, *where, "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["version"] == 2
    assert json.loads(done.stdout)["parity"]["reference"] == "onnxruntime"


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["nowhere.pt"], 3, "there is no model nowhere.pt"),
        ([".", "--name", "tiny"], 3, "is not a model: expected a bundle with configs/metadata.json"),
        (["nowhere.pt", "--repository", "ftp://x/y"], 3, "the repository must be a folder, s3://"),
    ],
)
def test_invalid_arguments_are_reported_in_one_line(
    arguments: list[str], code: int, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("publish", *arguments)
    assert done.exit_code == code
    assert expected in done.stderr
    assert done.stderr.count("\n") == 1
