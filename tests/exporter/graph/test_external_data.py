"""Models with external data, as for weights over 2 GB; here with a limit of a few kilobytes."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import yaml
from onnx import external_data_helper

from exporter.graph.external_data import iter_tensors
from exporter.publishing.prepare import prepare
from exporter.publishing.prepared import PreparedModel
from exporter.publishing.publish import publish
from exporter.publishing.status import list_versions
from exporter.publishing.triton import Triton
from exporter.publishing.versions import remove, rollback
from exporter.repository.folder import FolderRepository
from exporter.repository.object_store import ObjectStoreRepository
from exporter.repository.protocol import Content
from exporter.repository.validate import validate
from exporter.repository.view import fetch_model
from exporter.sources.options import ExportOptions
from sixpoint.errors import InvalidArgument
from tests.exporter.command_line import run
from tests.exporter.model_host import Host, pull
from tests.exporter.specs import SEGMENTATION
from tests.support.models import write_ellipsoid_model
from tests.support.paths import TRITON_ENVIRONMENT
from tests.support.servers import running_triton

FILES = {"model.onnx", "model.onnx.data", "version.json", "parity.json", "parity.npz"}


@pytest.fixture(scope="module")
def large(checkpoint: Path, spec_file: Path, tmp_path_factory: pytest.TempPathFactory) -> PreparedModel:
    """A small model that is too large for the limit."""
    folder = tmp_path_factory.mktemp("large")
    return prepare(checkpoint, ExportOptions(spec=spec_file, max_file_bytes=4096), name="large", folder=folder)


def another(one: PreparedModel, folder: Path) -> PreparedModel:
    """The same model with other weights in its weights file."""
    path = Path(shutil.copytree(one.model.parent, folder / "another"), one.model.name)
    data = path.with_name("model.onnx.data")
    data.write_bytes((np.frombuffer(data.read_bytes(), np.float32) * np.float32(0.9)).tobytes())
    return replace(one, model=path)


def whole(folder: Path) -> str:
    content = b"".join((folder / name).read_bytes() for name in ("model.onnx", "model.onnx.data"))
    return hashlib.sha256(content).hexdigest()


@pytest.mark.triton
def test_triton_serves_versions_with_external_data(large: PreparedModel, tmp_path: Path) -> None:
    if not TRITON_ENVIRONMENT.is_dir():
        pytest.skip("Triton is not installed: make triton")
    models = FolderRepository(tmp_path / "repository")
    write_ellipsoid_model(models.folder / "resident")
    with running_triton(models.folder) as running, Triton(running.address, timeout=30) as triton:
        published = publish(models, large, triton=triton)
        assert published.parity.triton is not None
        assert published.parity.triton.largest <= 2 / 255
        other = another(large, tmp_path)
        other = replace(other, parity=other.parity.model_copy(update={"tolerance": 1.0}))
        assert publish(models, other, triton=triton).version == 2
        records = [one.record for one in list_versions(models, "large")]
        for version, record in enumerate(records, start=1):
            folder = models.folder / "large" / str(version)
            assert {path.name for path in folder.iterdir()} == FILES | ({"replaced.json"} if version == 2 else set())
            assert record.sha256 == whole(folder)
            assert record.size == sum((folder / name).stat().st_size for name in ("model.onnx", "model.onnx.data"))
        assert records[0].sha256 != records[1].sha256
        assert [one.problems for one in validate(models.folder) if one.name == "large"] == [()]
        found = json.loads(run("diff", "large", 1, 2, "--repository", models.folder, "--json").stdout)
        assert found["fields"].keys() == {"sha256"}
        assert found["answers"]["largest"] > 0
        assert rollback(models, "large", to=None, triton=triton).version == 1
        remove(models, "large", 2, triton=triton)
        assert models.versions("large") == [1]


def test_an_object_store_receives_the_graph_last_and_deletes_it_first(
    large: PreparedModel, s3_environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = ObjectStoreRepository(f"s3://models/{tmp_path.name.lower().replace('_', '-')}", lease=5)
    publish(models, large, triton=None)
    put: list[str] = []
    original = ObjectStoreRepository._put

    def recorded_put(self: ObjectStoreRepository, path: str, content: Content) -> None:
        put.append(path)
        original(self, path, content)

    monkeypatch.setattr(ObjectStoreRepository, "_put", recorded_put)
    publish(models, large, triton=None)
    written = [path for path in put if path.startswith("large/2/")]
    assert written.index("large/2/model.onnx.data") < written.index("large/2/model.onnx")
    assert fetch_model(models, "large", 2, tmp_path).parent == tmp_path
    assert whole(tmp_path) == list_versions(models, "large")[1].record.sha256
    rollback(models, "large", to=1, triton=None)
    gone: list[str] = []
    delete = ObjectStoreRepository.delete

    def recorded_delete(self: ObjectStoreRepository, path: str) -> None:
        gone.append(path)
        delete(self, path)

    monkeypatch.setattr(ObjectStoreRepository, "delete", recorded_delete)
    remove(models, "large", 2, triton=None)
    assert gone[0] == "large/2/model.onnx"
    assert models.versions("large") == [1]


def test_an_exported_model_is_published_again_byte_for_byte(large: PreparedModel, tmp_path: Path) -> None:
    models = FolderRepository(tmp_path / "repository")
    publish(models, large, triton=None)
    done = run("publish", models.folder / "large", "--repository", tmp_path / "other")
    assert done.exit_code == 0, done.stderr
    first, second = (one / "large" / "1" for one in (models.folder, tmp_path / "other"))
    assert whole(first) == whole(second)
    assert {path.name for path in second.iterdir()} == FILES


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda data: data.unlink(), "has weights in a file that is missing from its folder: 'model.onnx.data'"),
        (lambda data: data.write_bytes(data.read_bytes()[:2000]), "version 1: model.onnx "),
        (lambda data: data.write_bytes(data.read_bytes()[::-1]), "was changed after it was published"),
        (lambda data: data.symlink_to(data.rename(data.parents[3] / "elsewhere")), "is a link"),
    ],
    ids=["missing", "cut off", "changed", "a link"],
)
def test_damaged_external_data_is_reported(
    damage: Callable[[Path], Any], expected: str, large: PreparedModel, tmp_path: Path
) -> None:
    models = FolderRepository(tmp_path / "repository")
    publish(models, large, triton=None)
    damage(models.folder / "large" / "1" / "model.onnx.data")
    done = run("validate", models.folder)
    assert done.exit_code == 1
    assert expected in done.stderr
    assert done.stderr.count("\n") == 1


# ONNX files from other tools


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """An ONNX file with every weight in a separate file, and its spec beside it."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv3d(1, 16, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv3d(16, 2, 1))
    path = tmp_path / "theirs" / "model.onnx"
    path.parent.mkdir()
    torch.onnx.export(
        network.eval(), (torch.zeros(2, 1, 24, 16, 16),), path, dynamic_shapes=({0: torch.export.Dim("batch")},)
    )
    model = onnx.load(path)
    path.with_name("model.onnx.data").unlink(missing_ok=True)
    onnx.save(model, path, save_as_external_data=True, all_tensors_to_one_file=False, size_threshold=0)
    (path.parent / "spec.yaml").write_text(yaml.safe_dump(SEGMENTATION))
    return path


def renamed(path: Path, name: str) -> None:
    """Rename the file that the first weight refers to."""
    model = onnx.load(path, load_external_data=False)
    for tensor in iter_tensors(model):
        if external_data_helper.uses_external_data(tensor):
            tensor.external_data[0].value = name
            break
    onnx.save(model, path)


@pytest.mark.parametrize("largest", [1000, 2**31 - 1])
def test_an_onnx_file_is_exported_with_its_external_data(largest: int, theirs: Path, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    made = prepare(theirs, ExportOptions(max_file_bytes=largest), name="liver", folder=tmp_path / "work")
    assert made.parity.onnxruntime is not None
    assert made.parity.onnxruntime.largest < 1e-2
    assert made.model.with_name("model.onnx.data").is_file() == (largest == 1000)
    models = FolderRepository(tmp_path / "repository")
    publish(models, made, triton=None)
    assert [one.problems for one in validate(models.folder)] == [()]


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "a/../../secret", "", "a\\b"])
def test_weights_outside_the_folder_are_refused(name: str, theirs: Path, tmp_path: Path) -> None:
    renamed(theirs, name)
    (tmp_path / "secret").write_bytes(bytes(10000))
    for command in (("export", theirs, "--repository", tmp_path / "repository"), ("pull", f"file:{theirs}")):
        done = run(*command, *(("--cache", tmp_path / "cache") if command[0] == "pull" else ()))
        assert done.exit_code == 3
        assert f"model.onnx has weights in a file outside its folder: {name!r}" in done.stderr
        assert done.stderr.count("\n") == 1
    assert not (tmp_path / "repository").exists()
    assert not list((tmp_path / "cache").rglob("*.onnx"))


def test_missing_external_data_is_reported(theirs: Path, tmp_path: Path) -> None:
    renamed(theirs, "nowhere.bin")
    with pytest.raises(InvalidArgument, match=r"a file that is missing from its folder: 'nowhere\.bin'"):
        prepare(theirs, ExportOptions(), name="liver", folder=tmp_path)


def test_external_data_is_pulled_with_the_file(theirs: Path, tmp_path: Path, host: Host) -> None:
    for path in theirs.parent.iterdir():
        host.content[f"/models/{path.name}"] = path.read_bytes()
    pulled = {}
    for source in (f"{host.url}/models/model.onnx", f"file:{theirs}"):
        done = pull(host, source, tmp_path / "cache")
        assert done.exit_code == 0, done.stderr
        report = json.loads(done.stdout)
        files = {path.name: path for path in Path(report["path"]).parent.iterdir() if path.name in report["sha256"]}
        assert {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()} == report["sha256"]
        pulled[source] = report["sha256"]
    assert len({tuple(sorted(one.items())) for one in pulled.values()}) == 1
    assert len(next(iter(pulled.values()))) > 2
    digest = hashlib.sha256(theirs.read_bytes()).hexdigest()
    done = pull(host, f"{host.url}/models/model.onnx", tmp_path / "fresh", "--sha256", digest)
    assert done.exit_code == 3
    assert "--sha256 is for models of one file" in done.stderr
