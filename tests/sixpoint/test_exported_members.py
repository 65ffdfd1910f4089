"""What ``import sixpoint`` exports and imports."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

import sixpoint
import sixpoint.client


def test_every_exported_name_exists_in_order() -> None:
    for module in (sixpoint, sixpoint.client):
        assert sorted(module.__all__) == module.__all__
        assert all(hasattr(module, name) for name in module.__all__)


def test_importing_the_client_imports_no_server_and_no_framework() -> None:
    heavy = {"torch", "monai", "onnxruntime", "onnx", "scipy", "tritonclient", "pydantic_settings"}
    applications = {"gateway", "exporter", "trainer"}
    code = "import sys, sixpoint, sixpoint.cli; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not (heavy | applications) & set(done.stdout.split())


def test_importing_the_sdk_imports_no_http() -> None:
    code = "import sys, sixpoint; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"http.client", "urllib.request"} & set(done.stdout.split())


def test_the_version_is_that_of_the_package() -> None:
    assert sixpoint.__version__ == version("sixpoint")
    with pytest.raises(AttributeError, match="no attribute '__versions__'"):
        _ = sixpoint.__versions__  # type: ignore[attr-defined]  # misspelt
