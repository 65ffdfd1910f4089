"""Installing Triton from pip, and what its log says."""

from __future__ import annotations

import asyncio
import textwrap
from pathlib import Path

import pytest

from gateway.triton.local.install import TritonEnvironment, check_machine, find_python, install
from gateway.triton.local.log import excerpt
from gateway.triton.local.server import LocalTriton, LocalTritonSettings
from sixpoint.errors import FailedPrecondition
from tests.gateway.triton.local.local_triton import (
    ENVIRONMENT,
    needs_triton,
)


def test_a_missing_environment_names_the_command_that_makes_it(tmp_path: Path) -> None:
    options = LocalTritonSettings(model_repository=tmp_path, environment=tmp_path / ".triton")
    with pytest.raises(FailedPrecondition, match=r"python -m gateway\.triton\.local\.install"):
        asyncio.run(LocalTriton(options).start())


@pytest.mark.parametrize(
    ("system", "machine", "libc", "expected"),
    [
        ("Darwin", "arm64", ("", ""), "Linux on x86-64, and this is Darwin on arm64"),
        ("Linux", "aarch64", ("glibc", "2.39"), "Linux on x86-64"),
        ("Linux", "x86_64", ("glibc", "2.31"), r"glibc 2\.35 or newer .* glibc 2\.31"),
        ("Linux", "x86_64", ("", ""), "another C library"),
    ],
)
def test_other_machines_are_sent_to_the_container(
    system: str, machine: str, libc: tuple[str, str], expected: str
) -> None:
    with pytest.raises(FailedPrecondition, match=expected) as caught:
        check_machine(system=system, machine=machine, libc=libc)
    assert "docker run" in caught.value.message


def test_other_pythons_are_sent_to_the_container(tmp_path: Path) -> None:
    other = tmp_path / "python3.14"
    other.write_text("""#!/bin/sh\necho '{"version": [3, 14], "library": true}'\n""")
    other.chmod(0o755)
    with pytest.raises(FailedPrecondition, match=r"Python 3\.11 or 3\.12, and this machine has Python 3\.14"):
        find_python([str(other), "no-such-python"])


@needs_triton
def test_a_second_installation_writes_nothing() -> None:
    install(ENVIRONMENT)
    before = {path: path.stat().st_mtime_ns for path in ENVIRONMENT.iterdir()}
    assert install(ENVIRONMENT) == TritonEnvironment.locate(ENVIRONMENT)
    assert {path: path.stat().st_mtime_ns for path in ENVIRONMENT.iterdir()} == before


def test_the_errors_of_a_long_log_are_excerpted() -> None:
    log = """
        2026-01-01T00:00:00Z E 7 server.cc:241] "CudaDriverHelper has not been initialized."
        2026-01-01T00:00:00Z I 7 server.cc:631] "all is well"
        +---------+
        2026-01-01T00:00:01Z E 7 model.cc:642] "failed to load 'a'"
        error: creating server: Internal - failed to load all models
    """
    assert excerpt(textwrap.dedent(log)) == (
        "\"failed to load 'a'\" | error: creating server: Internal - failed to load all models"
    )
    assert excerpt("") == "its log shows no error"
