"""What the pages leave to ``make viewers``: their commands run in order, and print what the page says."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.docs.blocks import commands, read_blocks, run_command
from tests.docs.conftest import Servers, files, reader, servers
from tests.support.paths import ROOT
from tests.viewers.support.programs import fetch_grpcurl, need, need_library, real_viewer

__all__ = ["files", "reader", "servers"]

pytestmark = real_viewer("docs: C++, JavaScript, grpcurl, REST")

PAGE = ROOT / "docs" / "how-to" / "viewers" / "own-client.md"
HERE = "`make viewers` runs it"


def test_the_commands_for_other_languages(reader: Path, servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    packages = "g++ make pkg-config libgrpc++-dev libprotobuf-dev protobuf-compiler-grpc libssl-dev libzstd-dev"
    need(packages, "g++", "grpc_cpp_plugin", "pkg-config")
    need_library("libprotobuf-dev", "protobuf")
    need("curl jq nodejs npm", "curl", "jq", "node", "npm")
    # Last: beside it lies a Python of its own.
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}{os.pathsep}{fetch_grpcurl().parent}")
    (reader / "examples").unlink()
    # They are built where they are.
    ignored = shutil.ignore_patterns("node_modules", "gen")
    for folder in ("examples", "protos"):
        shutil.copytree(ROOT / folder, reader / folder, ignore=ignored)
    blocks = [block for block in read_blocks(PAGE) if block.language == "console"]
    assert sum(block.not_run.startswith(HERE) for block in blocks) >= 4
    ids: dict[str, str] = {}
    for block in blocks:
        if not block.not_run or block.not_run.startswith(HERE):
            for command in commands(block):
                wrong = run_command(servers.localised(command.text), command.output, ids)
                assert not wrong, f"{block.place}\n{wrong}"
