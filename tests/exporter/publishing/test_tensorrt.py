"""TensorRT plans without a GPU: small programs stand in for nvidia-smi and trtexec.

They show which flags trtexec gets, how its output is read, and what is published; not that TensorRT accepts it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from exporter.publishing import tensorrt
from exporter.publishing.prepared import PreparedModel
from exporter.publishing.publish import publish
from exporter.publishing.status import list_versions
from exporter.publishing.triton import Triton
from exporter.publishing.versions import remove, rollback
from exporter.repository.config import ModelConfig
from exporter.repository.folder import FolderRepository
from exporter.repository.object_store import ObjectStoreRepository
from exporter.repository.record import TensorRtEngine, VersionRecord
from exporter.repository.validate import validate
from gateway.triton.local.server import LocalTriton
from sixpoint.errors import FailedPrecondition, NotFound
from sixpoint.model_spec import ModelSpec
from tests.exporter.command_line import run
from tests.support.models import write_ellipsoid_model
from tests.support.paths import TRITON_ENVIRONMENT
from tests.support.servers import running_triton

GOLDEN = Path(__file__).parent / "golden" / "plan.pbtxt"
ENGINE = TensorRtEngine(gpu="NVIDIA L4", driver="550.54.15", tensorrt="10.3.0")
SHAPE = "6x16x16x24"  # of tests.exporter.specs.ANNOTATION

SMI = """
assert sys.argv[1:] == ["--query-gpu=name,driver_version", "--format=csv,noheader"], sys.argv
print("NVIDIA L4, 550.54.15")
print("NVIDIA L4, 550.54.15")
"""
BUILDS = """
flags = dict(one.partition("=")[::2] for one in sys.argv[1:])
Path(__file__).with_name("flags.json").write_text(json.dumps(flags))
assert Path(flags["--onnx"]).read_bytes()
print("&&&& RUNNING TensorRT.trtexec [TensorRT v100300] [b26] # trtexec", *sys.argv[1:])
Path(flags["--saveEngine"]).write_bytes(b"engine of " + Path(flags["--onnx"]).name.encode())
"""
FAILS = """
print("&&&& RUNNING TensorRT.trtexec [TensorRT v100300] # trtexec")
print("[11/24/2026-15:10:38] [I] === Model Options ===")
print("[11/24/2026-15:10:39] [W] [TRT] something that does not matter", file=sys.stderr)
print("[11/24/2026-15:10:40] [E] [TRT] Error Code 2: OutOfMemory (no further information)", file=sys.stderr)
print("[11/24/2026-15:10:40] [E] Engine could not be created from network", file=sys.stderr)
Path(dict(one.partition("=")[::2] for one in sys.argv[1:])["--saveEngine"]).write_bytes(b"half of an eng")
sys.exit(1)
"""

Standing = Callable[..., Path]


@pytest.fixture
def standing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Standing:
    """Make these programs the only ones on PATH; return their folder."""

    def put(**sources: str) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        for name, source in sources.items():
            path = folder / name.replace("_", "-")
            path.write_text(f"#!{sys.executable} -S\nimport json, os, signal, sys\nfrom pathlib import Path\n{source}")
            path.chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))
        monkeypatch.setattr(tensorrt, "_TRTEXEC", str(tmp_path / "nowhere"))
        return folder

    return put


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def planned(one: PreparedModel, folder: Path) -> PreparedModel:
    """The model with a plan that no Triton could load."""
    path = folder / "model.plan"
    path.write_bytes(b"engine")
    return replace(one, model=path, config=replace(one.config, backend="tensorrt"), engine=ENGINE, precision="fp16")


@pytest.mark.parametrize(
    ("precision", "flags", "recorded"),
    [
        ([], {"--fp16": ""}, "fp16"),
        (["--precision", "fp16"], {"--fp16": ""}, "fp16"),
        (["--precision", "fp32"], {}, "fp32"),
    ],
)
def test_trtexec_gets_all_flags_and_its_plan_is_published(
    precision: list[str],
    flags: dict[str, str],
    recorded: str,
    checkpoint: Path,
    spec_file: Path,
    exported: Path,
    tmp_path: Path,
    standing: Standing,
) -> None:
    programs = standing(nvidia_smi=SMI, trtexec=BUILDS)
    source = (checkpoint, "--spec", spec_file) if "fp16" in precision else (exported / "tiny",)
    where = ("--name", "tiny", "--repository", tmp_path / "models")
    done = run("publish", *source, *where, "--tensorrt", "plan", *precision)
    assert done.exit_code == 0, done.stderr
    passed = json.loads((programs / "flags.json").read_text())
    assert Path(passed.pop("--onnx")).name == "model.onnx"
    assert Path(passed.pop("--saveEngine")).name == "model.plan"
    shapes = {f"--{which}Shapes": f"INPUT:{size}x{SHAPE}" for which, size in (("min", 1), ("opt", 1), ("max", 8))}
    assert passed == {**shapes, **flags}
    folder = tmp_path / "models" / "tiny"
    names = sorted(path.name for path in (folder / "1").iterdir())
    assert names == ["model.plan", "parity.json", "parity.npz", "version.json"]
    assert (folder / "1" / "model.plan").read_bytes() == b"engine of model.onnx"
    record = VersionRecord.from_json((folder / "1" / "version.json").read_bytes())
    assert (record.engine, record.precision, record.size) == (ENGINE, recorded, 20)
    assert "TensorRT 10.3.0 on NVIDIA L4, driver 550.54.15" in (folder / "README.md").read_text()
    assert json.loads((folder / "card.json").read_text())["versions"]["1"]["engine"] == ENGINE.model_dump()
    assert "model.plan" in done.stdout
    assert "was not verified" in done.stdout
    assert run("validate", tmp_path / "models").exit_code == 0


def test_the_config_of_a_plan_is_the_golden_one(spec: ModelSpec) -> None:
    """After an intended change, write ``to_text()`` to the file and review the difference."""
    config = replace(ModelConfig.of(spec, name="tiny"), backend="tensorrt")
    assert config.to_text() == GOLDEN.read_text()
    assert ModelConfig.from_text(config.to_text()) == config


def test_trtexec_gets_no_secret(exported: Path, standing: Standing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIXPOINT_TRITON_KEY", "secret")
    standing(nvidia_smi=SMI, trtexec="sys.exit(3 if 'secret' in os.environ.values() else 4)")
    done = run("publish", exported / "tiny", "--name", "plan", "--repository", exported, "--tensorrt", "plan")
    assert "exit code 4" in done.stderr


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ({}, "built on the GPU that runs it, and this machine has none"),
        ({"nvidia_smi": "print('Failed to initialize NVML'); sys.exit(9)"}, "and this machine has none"),
        ({"nvidia_smi": "print('NVIDIA L4, 550.1'); print('Tesla T4, 550.1')"}, "this machine has 2 kinds"),
        ({"nvidia_smi": SMI}, "built by trtexec, which is neither on PATH nor"),
        ({"nvidia_smi": SMI, "trtexec": FAILS}, "the engine: Error Code 2: OutOfMemory (no further information); a"),
        ({"nvidia_smi": SMI, "trtexec": "os.kill(os.getpid(), signal.SIGKILL)"}, "it was ended by signal 9"),
        ({"nvidia_smi": SMI, "trtexec": "print('done')"}, "trtexec cannot build the engine: exit code 0"),
        ({"nvidia_smi": SMI, "trtexec": BUILDS.replace("[TensorRT v100300]", "")}, "version 8 or newer"),
    ],
)
def test_a_failed_build_changes_nothing_and_is_reported_in_one_line(
    sources: dict[str, str], expected: str, exported: Path, repository: Path, standing: Standing
) -> None:
    standing(**sources)
    before = tree(repository)
    done = run("publish", exported / "tiny", "--name", "plan", "--repository", repository, "--tensorrt", "plan")
    assert done.exit_code == 5
    assert expected in done.stderr
    assert done.stderr.count("\n") == 1
    assert tree(repository) == before


def test_plans_and_onnx_files_cannot_share_a_model(
    exported: Path, repository: Path, tiny: PreparedModel, tmp_path: Path, standing: Standing
) -> None:
    programs = standing(nvidia_smi=SMI, trtexec=BUILDS)
    done = run("publish", exported / "tiny", "--repository", repository, "--tensorrt", "plan")
    assert done.exit_code == 5
    assert "this is a TensorRT plan, and the existing versions of tiny are not plans" in done.stderr
    assert "(--name tiny-tensorrt)" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (programs / "flags.json").exists()  # refused before the build
    models = FolderRepository(tmp_path / "plans")
    publish(models, planned(tiny, tmp_path), triton=None)
    with pytest.raises(FailedPrecondition, match=r"are all plans: .*\(--name tiny-onnx\)"):
        publish(models, tiny, triton=None)
    larger = replace(planned(tiny, tmp_path), config=replace(planned(tiny, tmp_path).config, max_batch_size=16))
    with pytest.raises(FailedPrecondition, match="have other --max-batch-size"):
        publish(models, larger, triton=None)
    assert models.versions("tiny") == [1]


def test_plans_are_published_and_removed_in_a_folder(tiny: PreparedModel, tmp_path: Path) -> None:
    models = FolderRepository(tmp_path / "models")
    for _ in range(3):
        publish(models, planned(tiny, tmp_path), triton=None)
    assert rollback(models, "tiny", to=None, triton=None).version == 2
    remove(models, "tiny", 1, triton=None)
    assert [(one.version, one.state) for one in list_versions(models, "tiny")] == [(2, "serving"), (3, "kept")]
    assert run("versions", "tiny", "--repository", models.folder).exit_code == 0
    for command, code, expected in (
        (("diff", "tiny", 2, 3, "--repository", models.folder), 5, "which only Triton can run"),
        (("publish", models.folder / "tiny"), 3, "holds TensorRT plans, each for one GPU and one TensorRT"),
        (("tensorrt-job", "tiny", "--gpu", "L4", "--repository", models.folder), 5, "are TensorRT plans"),
    ):
        done = run(*command)
        assert done.exit_code == code
        assert expected in done.stderr
        assert done.stderr.count("\n") == 1
    assert [one.problems for one in validate(models.folder)] == [()]
    (models.folder / "tiny" / "2" / "model.plan").write_bytes(b"another")
    (models.folder / "tiny" / "3" / "version.json").unlink()
    changed, unknown = validate(models.folder)[0].problems
    assert "version 2: model.plan was changed after it was published" in changed
    assert "version 3: version.json is missing" in unknown
    (models.folder / "tiny" / "2" / "model.plan").unlink()
    assert "version 2: model.plan is missing" in validate(models.folder)[0].problems


def test_plans_are_published_and_removed_in_an_object_store(
    s3_environment: None, tiny: PreparedModel, tmp_path: Path
) -> None:
    models = ObjectStoreRepository("s3://models/plans", lease=5)
    for _ in range(2):
        publish(models, planned(tiny, tmp_path), triton=None)
    assert rollback(models, "tiny", to=None, triton=None).version == 1
    remove(models, "tiny", 2, triton=None)
    assert [(one.version, one.record.engine) for one in list_versions(models, "tiny")] == [(1, ENGINE)]
    models.fetch("tiny/1/model.plan", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"engine"
    with pytest.raises(NotFound):
        models.fetch("tiny/2/model.plan", tmp_path / "copy")


@pytest.mark.parametrize(
    ("digits", "version"), [("8503", "8.5.3"), ("8601", "8.6.1"), ("100300", "10.3.0"), ("101600", "10.16.0")]
)
def test_the_tensorrt_version_is_read_from_trtexecs_banner(
    digits: str, version: str, tiny: PreparedModel, tmp_path: Path, standing: Standing
) -> None:
    standing(nvidia_smi=SMI, trtexec=BUILDS.replace("100300", digits))
    built = tensorrt.find_builder().build(tiny, tmp_path, half=True)
    assert built.engine == ENGINE.model_copy(update={"tensorrt": version})
    quantised = tensorrt.find_builder().build(replace(tiny, precision="int8"), tmp_path, half=True)
    assert quantised.precision == "int8"
    assert json.loads((tmp_path / "bin" / "flags.json").read_text()).keys() >= {"--fp16", "--int8"}


@pytest.mark.triton
def test_a_plan_that_triton_cannot_load_is_removed(tiny: PreparedModel, tmp_path: Path) -> None:
    """The Triton from pip has no TensorRT backend."""
    if not TRITON_ENVIRONMENT.is_dir():
        pytest.skip("Triton is not installed: make triton")
    write_ellipsoid_model(tmp_path / "repository" / "resident")
    before = tree(tmp_path / "repository")
    running: LocalTriton
    with running_triton(tmp_path / "repository") as running, Triton(running.address, timeout=30) as triton:
        with pytest.raises(FailedPrecondition, match="load failed for model 'tiny'"):
            publish(FolderRepository(tmp_path / "repository"), planned(tiny, tmp_path), triton=triton)
        assert tree(tmp_path / "repository") == before
        assert [state for state, _ in triton.version_states("resident").values()] == ["READY"]
