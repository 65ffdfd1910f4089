"""The documentation builds without a warning: no broken link, no page that the navigation lacks."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="MkDocs is not installed: make docs")
def test_the_site_builds_strictly(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "SIXPOINT_PORT" in (tmp_path / "reference" / "settings.html").read_text()
    assert "sixpoint annotate" in (tmp_path / "reference" / "commands.html").read_text()
    assert "AnnotateRequest" in (tmp_path / "reference" / "protocol.html").read_text()
    assert "viewers/index.html" in (tmp_path / "how-to" / "viewer.html").read_text()
    assert "Who may attack" in (tmp_path / "security.html").read_text()
    assert "Report a problem" in (tmp_path / "vulnerabilities.html").read_text()
