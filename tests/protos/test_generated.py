"""The contract: its generated code is fresh, and it keeps buf's rules."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.paths import ROOT

BIN = Path(sys.executable).parent


def test_regenerating_the_code_changes_nothing(tmp_path: Path) -> None:
    environment = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}"}
    subprocess.run([sys.executable, ROOT / "protos" / "generate.py", tmp_path], check=True, env=environment)
    generated = {path.name: path.read_text() for path in (tmp_path / "sixpoint" / "v1").iterdir()}
    folder = ROOT / "sixpoint" / "v1"
    committed = {path.name: path.read_text() for path in [*folder.glob("*_pb2*"), folder / "comments.json"]}
    assert set(generated) == set(committed)
    assert [name for name in generated if generated[name] != committed[name]] == []


def test_the_contract_passes_buf_lint_with_a_comment_on_everything() -> None:
    assert "COMMENTS" in (ROOT / "protos" / "buf.yaml").read_text()
    done = subprocess.run([BIN / "buf", "lint"], cwd=ROOT / "protos", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
