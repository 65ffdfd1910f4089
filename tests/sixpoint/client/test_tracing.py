"""Spans of the client's calls: OpenTelemetry is optional, and a program that does not use it does not pay for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys
if {missing}:
    sys.modules["opentelemetry"] = None
import sixpoint
client = sixpoint.Client("127.0.0.1:1", retry=sixpoint.Retry.none())
try:
    client.models()
except sixpoint.errors.Unavailable:
    print(any(sys.modules[name] for name in sys.modules if name.startswith("opentelemetry")))
"""


@pytest.mark.parametrize("missing", [False, True], ids=["unused", "not installed"])
def test_a_client_works_without_opentelemetry(missing: bool) -> None:
    command = [sys.executable, "-c", PROGRAM.format(missing=missing)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False\n"
