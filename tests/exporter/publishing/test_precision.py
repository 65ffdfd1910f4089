"""Half precision and the TensorRT accelerator."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import yaml

from exporter.repository.config import ExecutionConfig, ModelConfig
from sixpoint.model_spec import ModelSpec
from tests.exporter.command_line import run

GOLDEN = Path(__file__).parent / "golden" / "tensorrt.pbtxt"


def test_half_precision_halves_the_size_and_keeps_the_masks(checkpoint: Path, spec_file: Path, tmp_path: Path) -> None:
    where = ("--spec", spec_file, "--repository", tmp_path / "models")
    sizes = {}
    for precision in ("fp32", "fp16"):
        done = run("publish", checkpoint, *where, "--name", precision, "--precision", precision, "--json")
        assert done.exit_code == 0, done.stderr
        path = tmp_path / "models" / precision / "1" / "model.onnx"
        sizes[precision] = sum(len(one.raw_data) for one in onnx.load(path).graph.initializer)
        report = json.loads(done.stdout)["parity"]
        assert report["reference"] == "pytorch"
        assert report["onnxruntime"]["dice"] > 0.99
    assert sizes["fp16"] < 0.6 * sizes["fp32"]
    record = json.loads((tmp_path / "models" / "fp16" / "1" / "version.json").read_text())
    assert record["precision"] == "fp16"
    assert run("validate", tmp_path / "models").exit_code == 0


def test_half_precision_past_the_tolerance_is_refused(checkpoint: Path, spec_file: Path, tmp_path: Path) -> None:
    where = ("--spec", spec_file, "--repository", tmp_path / "models", "--name", "tiny")
    done = run("publish", checkpoint, *where, "--precision", "fp16", "--tolerance", 0)
    assert done.exit_code == 5
    assert "in a probability; 0.0000 is allowed (--tolerance)" in done.stderr
    assert not (tmp_path / "models").exists()


def test_an_exported_model_keeps_its_precision(exported: Path, tmp_path: Path) -> None:
    done = run("publish", exported / "tiny", "--repository", tmp_path, "--precision", "fp16")
    assert done.exit_code == 3
    assert "export its original source again" in done.stderr


def test_the_config_that_asks_for_tensorrt_is_the_golden_one(spec: ModelSpec, exported: Path, tmp_path: Path) -> None:
    """After an intended change, write ``to_text()`` to the file and review the difference."""
    done = run("publish", exported / "tiny", "--repository", tmp_path, "--tensorrt", "accelerator")
    assert done.exit_code == 0, done.stderr
    config = ModelConfig.read(tmp_path / "tiny")
    assert config.execution == ExecutionConfig(tensorrt=True)
    asked = config.to_text().partition("optimization {\n")[2].partition("\n}\n")[0]
    assert f"optimization {{\n{asked}\n}}\n" == GOLDEN.read_text()


def test_the_job_manifest_is_for_the_version(exported: Path) -> None:
    done = run("tensorrt-job", "tiny", "--gpu", "NVIDIA-L4", "--repository", exported)
    assert done.exit_code == 0, done.stderr
    job = yaml.safe_load(done.stdout)
    pod = job["spec"]["template"]["spec"]
    assert job["metadata"]["name"] == "sixpoint-tensorrt-tiny-1"
    assert pod["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-L4"}
    assert "--maxShapes=INPUT:8x6x16x16x24" in pod["containers"][0]["args"]
    assert "--onnx=/models/tiny/1/model.onnx" in pod["containers"][0]["args"]
    done = run("tensorrt-job", "tiny", "--gpu", "a\nb", "--repository", exported)
    assert done.exit_code == 3
    assert "--gpu must be" in done.stderr
