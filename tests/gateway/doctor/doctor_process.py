"""``gateway doctor`` as a person runs it: a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from gateway.doctor import examine
from gateway.settings import Settings
from sixpoint.cli.doctor.connection import Finding

__all__ = ["NOWHERE", "Report", "ask_doctor", "findings_of", "only"]

NOWHERE = "127.0.0.1:1"


@dataclass(frozen=True)
class Report:
    """What the doctor says: exit code, findings, and all of its output."""

    code: int
    findings: list[Finding]
    output: str


def ask_doctor(*options: str, prefix: tuple[str, ...] = (), cwd: Path, **settings: object) -> Report:
    """Run ``gateway doctor --json`` with these settings."""
    named = {f"SIXPOINT_{key.upper()}": str(value) for key, value in settings.items()}
    command = [*prefix, sys.executable, "-m", "gateway", "doctor", "--json", *options]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | named
    done = subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, check=False)
    assert not done.stderr, done.stderr
    return Report(done.returncode, [Finding(**each) for each in json.loads(done.stdout)], done.stdout + done.stderr)


async def findings_of(*, local_triton: bool = False, **settings: object) -> list[Finding]:
    """What the doctor finds with these settings, in this process."""
    values = {"triton_url": NOWHERE, "port": 0} | settings
    examined = examine(Settings(**values), local_triton=local_triton)  # type: ignore[arg-type]
    return [finding async for finding in examined]


def only(findings: list[Finding], what: str) -> Finding:
    """The one finding about something."""
    (finding,) = [each for each in findings if each.what == what]
    return finding
