"""README and docs name only what exists: files, links, make targets, settings, names of the SDK."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import sixpoint
from sixpoint.environment import CLIENT_VARIABLES, EXPORTER_VARIABLES, GATEWAY_VARIABLES
from tests.docs.blocks import pages
from tests.docs.pictures import shown_pictures
from tests.support.paths import ROOT

PAGES = pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())


@PAGES
def test_links_lead_to_files(page: Path) -> None:
    targets = re.findall(r"\]\((?!\w+:|#)([^)#\s]+)", page.read_text())
    assert not [target for target in targets if not (page.parent / target).exists()]


@PAGES
def test_pictures_are_small(page: Path) -> None:
    sizes = {name: (page.parent / name).stat().st_size for name in shown_pictures(page)}
    assert not {name: size for name, size in sizes.items() if size >= 150_000}


@PAGES
def test_files_and_folders_exist(page: Path) -> None:
    folders = "sixpoint|gateway|exporter|trainer|protos|containers|tests|benchmarks|docs"
    paths = re.findall(rf"`((?:{folders})/[\w./-]*)`", page.read_text())
    assert not [path for path in paths if not (ROOT / path).exists()]


@PAGES
def test_make_targets_exist(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"(?:`|^\$ |^)make ([a-z][a-z-]*)", page.read_text(), re.MULTILINE)
    assert not [target for target in targets if f"\n{target}:" not in makefile]


@PAGES
def test_settings_exist(page: Path) -> None:
    known = CLIENT_VARIABLES | EXPORTER_VARIABLES | GATEWAY_VARIABLES
    assert not set(re.findall(r"SIXPOINT_[A-Z_]+[A-Z]", page.read_text())) - known


@PAGES
def test_names_of_the_sdk_exist(page: Path) -> None:
    names = re.findall(r"\bsixpoint\.([A-Z]\w+)", page.read_text())
    assert not [name for name in names if not hasattr(sixpoint, name)]


def test_every_public_name_of_the_sdk_is_in_the_reference() -> None:
    text = "".join(
        (ROOT / "docs" / "reference" / name).read_text() for name in ("sdk.md", "errors.md", "model-spec.md")
    )
    assert not [name for name in sixpoint.__all__ if not re.search(rf"\b{name}\b", text) and name != "Prompt"]


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 160
