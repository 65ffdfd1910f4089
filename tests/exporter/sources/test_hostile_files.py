"""Files made to harm whoever exports them: each is refused in one line, before it takes memory or reads other files."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import yaml
from onnx import TensorProto, helper

from exporter.sources.bundle.archive import unpack
from exporter.sources.bundle.source import open_bundle
from sixpoint.errors import InvalidArgument
from tests.exporter.bundles import write_bundle
from tests.exporter.command_line import run
from tests.exporter.specs import SEGMENTATION


def repeated(folder: Path) -> Path:
    """A checkpoint of 1 kB whose only weight has 10**12 values, all of them the same stored one."""
    torch.save({"weight": torch.zeros(1).expand(10**6, 10**6)}, folder / "model.pt")
    return folder / "model.pt"


def compressed(folder: Path) -> Path:
    """A checkpoint whose weight is compressed a thousandfold."""
    torch.save({"weight": torch.zeros(4_000_000)}, folder / "plain.pt")
    path = folder / "model.pt"
    with zipfile.ZipFile(folder / "plain.pt") as plain, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as small:
        for name in plain.namelist():
            small.writestr(name, plain.read(name))
    return path


def external(folder: Path, **place: str) -> Path:
    """An ONNX file whose weights lie at a place in a file beside it."""
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2, 1, 1, 1, 1])
    weights.data_location = TensorProto.EXTERNAL
    for key, value in {"location": "weights", **place}.items():
        entry = weights.external_data.add()
        entry.key, entry.value = key, value
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", channels, 24, 16, 16])
        for name, channels in (("x", 1), ("y", 2))
    ]
    graph = helper.make_graph([helper.make_node("Conv", ["x", "w"], ["y"])], "g", ends[:1], ends[1:], [weights])
    (folder / "model.onnx").write_bytes(helper.make_model(graph).SerializeToString())
    if not (folder / "weights").exists():
        (folder / "weights").write_bytes(np.ones(2, np.float32).tobytes())
    return folder / "model.onnx"


def linked(folder: Path) -> Path:
    (folder / "weights").symlink_to("/etc/passwd")
    return external(folder)


FILES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a repeated value": (repeated, "weights that claim more values than it holds: weight"),
    "compressed weights": (compressed, "unpacks to over 200 times its size"),
    "a negative offset": (lambda folder: external(folder, offset="-8"), "does not say where its weights lie"),
    "an offset of letters": (lambda folder: external(folder, offset="x"), "does not say where its weights lie"),
    "a link as weights": (linked, "a file outside its folder: 'weights' is a link"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_hostile_file_is_refused_by_export_and_pull(case: str, tmp_path: Path) -> None:
    make, expected = FILES[case]
    path = make(tmp_path)
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(SEGMENTATION))
    for command in (("export", path, "--repository", tmp_path / "repository"), ("pull", f"file:{path}")):
        done = run(*command, *(("--cache", tmp_path / "cache") if command[0] == "pull" else ()))
        assert done.exit_code == 3, done.stderr
        assert expected in done.stderr
        assert done.stderr.count("\n") == 1
    assert not (tmp_path / "repository").exists()
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.stat().st_size > 10**5]


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        (["models", "models/model.pt"], "a file and a folder"),
        (["models/."], "a file and a folder"),
        (["x" * 300], "name is too long"),
        (["x/" * 1500 + "x"], "name is too long"),
    ],
)
def test_entries_that_are_no_files_are_refused(entries: list[str], expected: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bundle.zip", "w") as archive:
        archive.writestr("models/first", b"x")
        for name in entries:
            archive.writestr(name, b"x")
    (tmp_path / "out").mkdir()
    with pytest.raises(InvalidArgument, match=expected) as caught:
        unpack(tmp_path / "bundle.zip", tmp_path / "out")
    assert len(caught.value.message) < 200


def test_many_small_files_count_together(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bundle.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(70):
            archive.writestr(f"part {number}", bytes(1_000_000))
    (tmp_path / "out").mkdir()
    with pytest.raises(InvalidArgument, match="unpacks to over 200 times its size"):
        unpack(tmp_path / "bundle.zip", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_licence_that_links_out_of_the_bundle_is_not_published(tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle")
    (tmp_path / "secret").write_text("a secret of this machine")
    (tmp_path / "bundle" / "LICENSE").unlink()
    (tmp_path / "bundle" / "LICENSE").symlink_to(tmp_path / "secret")
    with open_bundle(tmp_path / "bundle") as bundle:
        assert bundle.licence == ""


@pytest.mark.parametrize("kind", ["onnx", "torchscript"])
def test_python_files_beside_a_model_are_not_imported(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The working folder comes first where Python looks for modules."""
    (tmp_path / "exporter.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(SEGMENTATION))
    path = tmp_path / "model.ts"
    if kind == "torchscript":
        torch.jit.script(torch.nn.Conv3d(1, 2, 1)).save(path)  # type: ignore[no-untyped-call]
    else:
        path = external(tmp_path)
        model = onnx.load(path, load_external_data=False)
        model.opset_import[0].version = 17
        path.write_bytes(model.SerializeToString())
    monkeypatch.chdir(tmp_path)
    done = run("export", path, "--trust-torchscript", "--repository", tmp_path / "repository")
    assert done.exit_code == 0, done.stderr
    assert not (tmp_path / "ran").exists()


def test_a_models_own_operators_are_refused_inside_functions(tmp_path: Path) -> None:
    model = onnx.load(external(tmp_path))
    node = helper.make_node("Evil", ["a"], ["b"], domain="com.evil")
    model.functions.append(helper.make_function("f", "F", ["a"], ["b"], [node], [helper.make_opsetid("com.evil", 1)]))
    model.opset_import.extend([helper.make_opsetid("f", 1), helper.make_opsetid("com.evil", 1)])
    model.graph.node[0].output[0] = "inner"
    model.graph.node.append(helper.make_node("F", ["inner"], ["y"], domain="f"))
    onnx.save(model, tmp_path / "model.onnx")
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(SEGMENTATION))
    done = run("export", tmp_path / "model.onnx", "--repository", tmp_path / "repository")
    assert done.exit_code == 3
    assert "operators of com.evil, f" in done.stderr
