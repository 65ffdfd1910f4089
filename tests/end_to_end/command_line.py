"""The command lines in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.support.paths import ROOT

__all__ = ["run"]


def run(*arguments: object, server: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m`` with these arguments, in the folder of the checkout.

    Args:
        arguments: Module and its arguments.
        server: Value of SIXPOINT_SERVER; empty for none.
        environment: More environment variables.
    """
    variables = os.environ | {"COLUMNS": "120"} | ({"SIXPOINT_SERVER": server} if server else {}) | environment
    return subprocess.run(
        [sys.executable, "-m", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env=variables,
        cwd=ROOT,
    )
