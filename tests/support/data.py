"""Real, labelled images for tests: beside the project when they are there, and never needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.paths import ROOT

SHARED = ROOT.parent / "shared" / "data"


def shared(name: str) -> Path:
    """A file or folder of the shared images; the test is skipped, by name, where it is absent."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"the shared image {name} is not here")
    return path
