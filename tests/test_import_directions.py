"""Imports run one way: gateway, exporter, trainer know sixpoint, none of them another, and sixpoint none of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.support.paths import ROOT

APPLICATIONS = {"gateway", "exporter", "trainer"}
FRAMEWORKS = {"torch", "monai", "onnxruntime", "onnx", "scipy"}


def imports(package: str) -> Iterator[tuple[str, str]]:
    """(file, top-level package imported) of every import in a package, the code that runs inside Triton left out."""
    for path in (ROOT / package).rglob("*.py"):
        if "backends" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from ((path.name, alias.name.partition(".")[0]) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield path.name, node.module.partition(".")[0]


@pytest.mark.parametrize("package", sorted(APPLICATIONS))
def test_applications_do_not_know_each_other(package: str):
    assert [found for found in imports(package) if found[1] in APPLICATIONS - {package}] == []


def test_the_library_knows_none_of_the_applications():
    assert [found for found in imports("sixpoint") if found[1] in APPLICATIONS] == []


@pytest.mark.parametrize("package", ["sixpoint", "gateway"])
def test_library_and_gateway_need_no_framework(package: str):
    assert [found for found in imports(package) if found[1] in FRAMEWORKS] == []
