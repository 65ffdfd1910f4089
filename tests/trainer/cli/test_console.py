"""Errors of the operating system are one sentence about the user's file; what is printed is printed as it is."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from sixpoint.io import atomic_files
from tests.trainer.conftest import Maker
from trainer import cli
from trainer.cli.console import describe_os_error, progress_bar, say


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: object) -> str:
    """Run the program, which must fail; return what it prints to stderr."""
    monkeypatch.setattr(sys, "argv", ["trainer", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    return capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    printed = run(capsys, monkeypatch, "samples", tmp_path / "file" / "x" / "samples.png")
    assert printed == f"error: {tmp_path}/file/x cannot be read or written: Not a directory\n"


@pytest.mark.parametrize("task", ["annotation", "segmentation"])
def test_a_full_disk_is_one_sentence_without_a_temporary_name(
    task: str, make_pairs: Maker, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(atomic_files, "flush", full)
    printed = run(capsys, monkeypatch, "train", tmp_path / "run", "--data", make_pairs(cases=2), "--task", task)
    assert printed.splitlines()[-1] == f"error: {tmp_path}/run cannot be read or written: No space left on device"
    assert "Traceback" not in printed


def test_an_error_without_a_file_or_a_reason_is_a_sentence_too() -> None:
    assert describe_os_error(OSError("9 requested and 5 written")).endswith("written: 9 requested and 5 written")
    assert describe_os_error(OSError(errno.ENOSPC, "No space")) == "a file cannot be read or written: No space"


def test_brackets_in_names_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    say("wrote runs/liver[v2]/checkpoint.pt [/]")
    with progress_bar() as update:
        update(0.5, "preparing", "case[1] [/]")
    printed = capsys.readouterr().err
    assert "wrote runs/liver[v2]/checkpoint.pt [/]\n" in printed
    assert "case[1] [/]" in printed
