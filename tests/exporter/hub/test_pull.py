"""Pulling models from an HTTP server that lays files out as the public hosts do."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.exporter.bundles import write_bundle, zipped
from tests.exporter.command_line import run
from tests.exporter.model_host import Host, pull
from tests.exporter.unsafe import Bomb

ZOO = "/v2/models/nvidia/monaihosting/spleen_ct/versions/0.5.4/files/spleen_ct_v0.5.4.zip"
NGC = "/v2/models/nvidia/monaitoolkit/spleen_ct/versions/0.5.4/zip"
HUB = "/MONAI/spleen_ct/resolve/0.5.4/"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hosted") / "spleen_ct"
    write_bundle(folder)
    return folder


@pytest.mark.parametrize(("source", "path"), [("monai:spleen_ct@0.5.4", ZOO), ("ngc:spleen_ct@0.5.4", NGC)])
def test_an_archive_is_downloaded_once_and_exported(
    source: str, path: str, host: Host, bundle: Path, tmp_path: Path
) -> None:
    host.content[path] = zipped(bundle).read_bytes()
    result = pull(host, source, tmp_path / "cache")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["licence"] == "Apache-2.0"
    assert report["sha256"] == {"spleen_ct.zip": hashlib.sha256(host.content[path]).hexdigest()}
    host.content.clear()
    again = pull(host, source, tmp_path / "cache", "--offline")
    assert json.loads(again.stdout) == report
    assert len(host.asked) == 1
    if source.startswith("monai"):
        exported = run("export", report["path"], "--repository", tmp_path / "repository")
        assert exported.exit_code == 0, exported.stderr
        assert "| Licence | Apache-2.0 |" in (tmp_path / "repository" / "spleen_ct" / "README.md").read_text()


def test_a_hub_repository_is_downloaded_as_a_folder(host: Host, bundle: Path, tmp_path: Path) -> None:
    files = {str(path.relative_to(bundle)): path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
    siblings: list[dict[str, Any]] = [{"rfilename": ".gitattributes"}, *({"rfilename": name} for name in files)]
    for entry in siblings:
        if entry["rfilename"].endswith(".pt"):
            entry["lfs"] = {"sha256": hashlib.sha256(files[entry["rfilename"]]).hexdigest()}
    host.content = {HUB + name: content for name, content in files.items()}
    about = {"siblings": siblings, "cardData": {"license": "apache-2.0"}}
    host.content["/api/models/MONAI/spleen_ct/revision/0.5.4"] = json.dumps(about).encode()
    result = pull(host, "hf:MONAI/spleen_ct@0.5.4", tmp_path / "cache")
    assert result.exit_code == 0, result.stderr
    folder = Path(json.loads(result.stdout)["path"])
    assert (folder / "models" / "model.pt").read_bytes() == files["models/model.pt"]
    assert not (folder / ".gitattributes").exists()
    host.content[HUB + "models/model.pt"] = b"something else"
    result = pull(host, "hf:MONAI/spleen_ct@0.5.4", tmp_path / "another")
    assert result.exit_code == 3
    assert "model.pt has SHA-256" in result.stderr


def test_an_interrupted_download_resumes(host: Host, bundle: Path, tmp_path: Path) -> None:
    content = host.content["/models/spleen.zip"] = zipped(bundle).read_bytes()
    host.breaks = [1000, 1000, 1000, 500]
    source = f"{host.url}/models/spleen.zip"
    result = pull(host, source, tmp_path / "cache")
    assert result.exit_code == 7
    assert "repeat the command to resume" in result.stderr
    result = pull(host, source, tmp_path / "cache", "--sha256", hashlib.sha256(content).hexdigest())
    assert result.exit_code == 0, result.stderr
    assert [wanted for _, wanted in host.asked] == ["", *(f"bytes={n}-" for n in (1000, 2000, 3000, 3500))]
    assert Path(json.loads(result.stdout)["path"]).read_bytes() == content


def test_a_file_that_changed_is_downloaded_from_the_start(host: Host, bundle: Path, tmp_path: Path) -> None:
    host.content["/spleen.zip"] = b"old" * 1000
    host.breaks = [100, 0, 0]
    assert pull(host, f"{host.url}/spleen.zip", tmp_path / "cache").exit_code == 7
    content = host.content["/spleen.zip"] = zipped(bundle).read_bytes()
    result = pull(host, f"{host.url}/spleen.zip", tmp_path / "cache")
    assert result.exit_code == 0, result.stderr
    assert Path(json.loads(result.stdout)["path"]).read_bytes() == content


def test_a_local_file_is_pulled(host: Host, bundle: Path, tmp_path: Path) -> None:
    result = pull(host, f"file:{zipped(bundle)}", tmp_path / "cache", "--offline")
    assert result.exit_code == 0, result.stderr
    assert Path(json.loads(result.stdout)["path"]).name == "spleen_ct.zip"


def test_a_folder_of_files_is_refused_by_pull_and_export(host: Host, tmp_path: Path) -> None:
    """nnU-Net lays its plans beside a network; none of them says which file to take."""
    folder = tmp_path / "nnunet"
    folder.mkdir()
    for name in ("model.onnx", "plans.json", "dataset.json"):
        (folder / name).write_bytes(b"{}")
    pulled = pull(host, f"file:{folder}", tmp_path / "cache")
    exported = run("export", folder, "--repository", tmp_path / "repository")
    assert (pulled.exit_code, exported.exit_code) == (3, 3)
    assert "is a folder: name a file in it" in pulled.stderr
    assert f"is a folder with ONNX files: name one, such as {folder}/model.onnx" in exported.stderr


def test_a_changed_local_file_is_pulled_again(host: Host, tmp_path: Path) -> None:
    source = tmp_path / "net.pt"
    for value in (1.0, 2.0):
        torch.save({"state_dict": {"weight": torch.tensor([value])}}, source)
        result = pull(host, f"file:{source}", tmp_path / "cache")
        assert result.exit_code == 0, result.stderr
        report = json.loads(result.stdout)
        assert report["sha256"] == {"net.pt": hashlib.sha256(source.read_bytes()).hexdigest()}
        assert Path(report["path"]).read_bytes() == source.read_bytes()
    source.unlink()
    assert json.loads(pull(host, f"file:{source}", tmp_path / "cache").stdout) == report


def test_local_files_of_equal_name_are_kept_apart(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = []
    for name, value in (("a", 1.0), ("b", 2.0)):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        torch.save({"state_dict": {"weight": torch.tensor([value])}}, "net.pt")
        result = pull(host, "file:net.pt", tmp_path / "cache")
        assert result.exit_code == 0, result.stderr
        paths.append(Path(json.loads(result.stdout)["path"]))
    for path, name in zip(paths, "ab", strict=True):
        assert path.read_bytes() == (tmp_path / name / "net.pt").read_bytes()


@pytest.mark.parametrize(
    ("source", "flags", "code", "expected"),
    [
        ("monai:spleen_ct", (), 3, "write monai:NAME@VERSION"),
        ("monai:../x@1", (), 3, "does not name a model"),
        ("monai:none@1", (), 4, "returns status 404 .* check name and version"),
        ("hf:none", (), 3, "write hf:OWNER/NAME@REVISION"),
        ("hf:a/none", (), 4, "check name and revision"),
        ("ftp://example.org/x.zip", (), 3, "is not a source: expected monai:"),
        ("http://example.org/x.zip", (), 3, "is not a source"),
        ("monai:spleen_ct@1", ("--offline",), 7, "--offline is set"),
        ("file:/none.zip", (), 4, "there is no file"),
    ],
)
def test_an_unavailable_source_is_reported_in_one_line(
    source: str, flags: tuple[str, ...], code: int, expected: str, host: Host, tmp_path: Path
) -> None:
    result = pull(host, source, tmp_path / "cache", *flags)
    assert result.exit_code == code
    assert result.stderr.count("\n") == 1
    assert re.search(expected, result.stderr)


def test_a_wrong_checksum_is_reported_and_no_file_stays(host: Host, tmp_path: Path) -> None:
    host.content["/model.onnx"] = b"x" * 10
    result = pull(host, f"{host.url}/model.onnx", tmp_path / "cache", "--sha256", "ab" * 32)
    assert result.exit_code == 3
    assert "expected abab" in result.stderr
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_code_in_a_download_does_not_run_and_no_file_stays(host: Host, bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "evil"
    write_bundle(folder)
    torch.save({"state_dict": {}, "extra": Bomb(tmp_path / "mark")}, folder / "models" / "model.pt")
    host.content["/evil.zip"] = zipped(folder).read_bytes()
    result = pull(host, f"{host.url}/evil.zip", tmp_path / "cache")
    assert result.exit_code == 3
    assert "Python objects" in result.stderr
    assert not (tmp_path / "mark").exists()
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []
