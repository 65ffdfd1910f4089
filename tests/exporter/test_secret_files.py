"""The exporter warns of secrets that every user of the machine may read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def test_a_secret_that_everybody_may_read_is_a_warning_and_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "key"
    path.write_text("hunter2")
    path.chmod(0o644)
    monkeypatch.setenv("SIXPOINT_TRITON_KEY_FILE", str(path))
    command = [sys.executable, "-c", "from exporter.cli import main; main()", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr.startswith("warning: the file of SIXPOINT_TRITON_KEY_FILE has the mode 0644: every user")
    assert "hunter2" not in done.stdout + done.stderr
    path.chmod(0o600)
    assert subprocess.run(command, capture_output=True, text=True, check=True).stderr == ""
