"""TorchScript files are programs: refused unless trusted, and then run in a process that cannot write or connect."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from exporter.sources import torchscript, torchscript_worker
from exporter.sources.torchscript import ConfinedScript, script_state
from sixpoint.errors import InvalidArgument
from tests.exporter.bundles import write_bundle
from tests.exporter.command_line import run

SHAPE = (24, 16, 16)


class Plain(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Conv3d(1, 2, 3, padding=1)

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.layer(value))


class Writer(Plain):
    def forward(self, value: torch.Tensor) -> torch.Tensor:
        torch.save(value, "MARK")
        return torch.as_tensor(self.layer(value))


class Fixed(Plain):
    def forward(self, value: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.layer(value)).reshape(1, 2, 24, 16, 16)


class OnCuda(Plain):
    def forward(self, value: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.layer(value)) + torch.zeros([1], device=torch.device("cuda:0"))


class Mapping(Plain):
    def forward(self, value: torch.Tensor) -> dict[str, torch.Tensor]:  # type: ignore[override]
        return {"out": torch.as_tensor(self.layer(value))}


def hostile(path: Path, mark: Path) -> None:
    """Write a TorchScript file that writes a file, with a space that no list of forbidden names expects."""
    plain = path.with_name("plain.ts")
    torch.jit.script(Writer()).save(plain)  # type: ignore[no-untyped-call]
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(path, "w") as target:
        for entry in source.infolist():
            content = source.read(entry)
            if entry.filename.endswith(".py"):
                content = content.replace(b"ops.aten.save", b"ops. aten .save").replace(b"MARK", str(mark).encode())
            target.writestr(entry, content)


def test_torchscript_is_refused_without_having_run(segmentation_spec: Path, tmp_path: Path) -> None:
    hostile(tmp_path / "model.ts", tmp_path / "mark")
    result = run("export", tmp_path / "model.ts", "--spec", segmentation_spec, "--repository", tmp_path / "repository")
    assert result.exit_code == 3
    assert "is TorchScript, a program that runs when it is loaded" in result.stderr
    assert "--trust-torchscript" in result.stderr
    assert not (tmp_path / "mark").exists()


def test_a_bundle_of_torchscript_is_refused_and_pulled_without_having_run(tmp_path: Path) -> None:
    write_bundle(tmp_path / "spleen")
    (tmp_path / "spleen" / "models" / "model.pt").unlink()
    hostile(tmp_path / "spleen" / "models" / "model.ts", tmp_path / "mark")
    (tmp_path / "spleen" / "models" / "plain.ts").unlink()
    result = run("export", tmp_path / "spleen", "--repository", tmp_path / "repository")
    assert "--trust-torchscript" in result.stderr
    with zipfile.ZipFile(tmp_path / "spleen.zip", "w") as archive:
        for file in (tmp_path / "spleen").rglob("*"):
            archive.write(file, file.relative_to(tmp_path))
    assert run("pull", f"file:{tmp_path / 'spleen.zip'}", "--cache", tmp_path / "cache").exit_code == 0
    assert not (tmp_path / "mark").exists()


def test_trusted_torchscript_writes_nothing(tmp_path: Path) -> None:
    hostile(tmp_path / "model.ts", tmp_path / "mark")
    script_state(tmp_path / "model.ts", trusted=True)
    with contextlib.suppress(InvalidArgument):
        ConfinedScript(tmp_path / "model.ts")(torch.zeros(1, 1, *SHAPE))
    assert not (tmp_path / "mark").exists()


LEFT = ("network and other programs",)


def test_what_cannot_be_taken_away_is_said_before_the_file_is_loaded(
    segmentation_spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hostile(tmp_path / "model.ts", tmp_path / "mark")
    monkeypatch.setattr(torchscript, "_not_taken_away", lambda: LEFT)
    result = run("export", tmp_path / "model.ts", "--spec", segmentation_spec, "--repository", tmp_path / "repository")
    assert "--trust-torchscript; this system cannot take network and other programs from a Torch" in result.stderr
    assert not caplog.messages
    said: list[str] = []

    def start(folder: Path, job: dict[str, Any], *, what: str) -> dict[str, Any]:
        said.extend(caplog.messages)
        return {"error": "stopped here", "left": job["left"]}

    monkeypatch.setattr(torchscript, "_start", start)
    with pytest.raises(InvalidArgument, match="stopped here"):
        script_state(tmp_path / "model.ts", trusted=True)
    assert said == ["warning: this system cannot take network and other programs from a TorchScript file"]


def test_nothing_is_loaded_less_confined_than_was_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hostile(tmp_path / "model.ts", tmp_path / "mark")
    monkeypatch.setattr(torchscript_worker, "confine", lambda _: list(LEFT))
    job = {"file": str(tmp_path / "model.ts"), "do": "state", "left": []}
    (tmp_path / "job.json").write_text(json.dumps(job))
    torchscript_worker.main(tmp_path)
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["error"] == "this system could not take network and other programs from it"
    assert not (tmp_path / "state.pt").exists()


PROBE = """
import socket, subprocess, sys
from pathlib import Path
from exporter.sources.confinement import confine
inside, outside = map(Path, sys.argv[1:])
print(confine(inside))
(inside / "mark").write_text("x")
for attempt in (
    lambda: (outside / "mark").write_text("x"),
    lambda: (outside / "old").unlink(),
    lambda: (outside / "old").write_text("x"),
    lambda: socket.socket(),
    lambda: subprocess.run(["true"]),
):
    try:
        attempt()
        print("possible")
    except PermissionError:
        print("refused")
print((outside / "old").read_text())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Landlock and seccomp are Linux's")
def test_a_confined_process_can_write_to_its_folder_only(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (outside / "old").write_text("old")
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(inside), str(outside)], capture_output=True, text=True, check=True
    )
    left, *attempts, content = done.stdout.splitlines()
    if left != "[]":
        pytest.skip(f"this kernel leaves {left}")
    assert attempts == ["refused"] * 5
    assert content == "old"
    assert (inside / "mark").read_text() == "x"


UNUSABLE: dict[str, tuple[torch.nn.Module, bool, str]] = {
    "half precision": (Plain().half(), False, "its weights are float16: save it in float32"),
    "one batch size": (Fixed(), True, "it takes batches of 1 only"),
    "a CUDA device": (OnCuda(), False, "it asks for a CUDA device: trace it on the CPU"),
    "a dict": (Mapping(), False, "it returns dict, expected one tensor"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_torchscript_that_cannot_be_used_says_why(case: str, segmentation_spec: Path, tmp_path: Path) -> None:
    network, traced, expected = UNUSABLE[case]
    script = torch.jit.trace(network, torch.zeros(1, 1, *SHAPE)) if traced else torch.jit.script(network)  # type: ignore[no-untyped-call]
    script.save(tmp_path / "model.ts")
    where = ("--spec", segmentation_spec, "--repository", tmp_path / "repository")
    result = run("export", tmp_path / "model.ts", "--trust-torchscript", *where)
    assert result.exit_code == 3
    assert expected in result.stderr
    assert result.stderr.count("\n") == 1
    assert not result.stdout
