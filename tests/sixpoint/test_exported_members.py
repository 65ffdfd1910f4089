"""What ``import sixpoint`` offers, and what it costs."""

from __future__ import annotations

import subprocess
import sys

import sixpoint


def test_everything_promised_is_there_in_order():
    assert sorted(sixpoint.__all__) == sixpoint.__all__
    assert all(hasattr(sixpoint, name) for name in sixpoint.__all__)


def test_importing_the_client_pulls_neither_a_server_nor_a_framework():
    heavy = {"torch", "monai", "onnxruntime", "onnx", "scipy", "tritonclient", "pydantic_settings"}
    rooms = {"gateway", "exporter", "trainer"}
    code = "import sys, sixpoint, sixpoint.cli; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not (heavy | rooms) & set(done.stdout.split())
