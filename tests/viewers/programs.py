"""Other people's programs, unmodified: fetched when the tests run, never part of this repository."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
import urllib.request
import zipfile
from pathlib import Path

import pytest

from tests.support.paths import ROOT

__all__ = [
    "DRIVERS",
    "fetch_client",
    "fetch_mitk",
    "fetch_napari",
    "fetch_ohif",
    "fetch_ohif_of_monai_label",
    "fetch_slicer",
    "fetch_slicer_module",
    "fetch_slicer_nninteractive",
    "window_command",
    "with_viewers",
]

with_viewers = pytest.mark.skipif(not os.environ.get("VIEWERS"), reason="it downloads real viewers: make viewers")
"""Mark of tests that nobody runs by the way: the downloads are large."""

DRIVERS = Path(__file__).with_name("drivers")
"""Folder of the programs that run in a viewer's own Python."""

_FOLDER = ROOT / "out" / "viewers"
_MONAI_LABEL = "monailabel==0.8.5"
_MITK = "mitk-python==2026.6"
_NAPARI = ("napari[pyqt6]==0.9.2", "napari-nninteractive==2.5.4")
# Without them Qt's windows do not open: it says so, and names only one of them.
_WINDOW_LIBRARIES = ("libxcb-cursor0", "libxcb-icccm4", "libxcb-keysyms1", "libegl1", "libgl1-mesa-dri", "xvfb")
_OHIF = "@ohif/app@3.13.2"
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


def fetch_client() -> Path:
    """Folder with MONAI Label's Python client, from its wheel."""
    return _fetch_monai_label() / "client"


def fetch_ohif_of_monai_label() -> Path:
    """Folder with OHIF's files, with MONAI Label's mode, from the same wheel."""
    return _fetch_monai_label() / "endpoints" / "static" / "ohif"


def _fetch_monai_label() -> Path:
    folder = _FOLDER / "monailabel"
    if not (folder / "done").is_file():
        _run("pip", "download", "--quiet", "--no-deps", "--dest", str(_FOLDER), _MONAI_LABEL)
        (wheel,) = _FOLDER.glob("monailabel-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            wanted = ("monailabel/client/", "monailabel/endpoints/static/ohif/")
            archive.extractall(_FOLDER, [name for name in archive.namelist() if name.startswith(wanted)])
        (folder / "done").touch()
    return folder


def fetch_napari() -> Path:
    """Python with napari and its plug-in for nnInteractive, in an environment of its own; 1.3 GB."""
    python = _FOLDER / "napari" / "bin" / "python"
    if not (_FOLDER / "napari" / "done").is_file():
        subprocess.run([sys.executable, "-m", "venv", _FOLDER / "napari"], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *_NAPARI], check=True)
        (_FOLDER / "napari" / "done").touch()
    return python


def window_command() -> list[str]:
    """Command before that of a program with windows, which gives it a screen that nobody sees.

    The test is skipped where windows cannot be opened.
    """
    program = "from qtpy.QtWidgets import QApplication; QApplication([])"
    command = ["xvfb-run", "-a", "-s", "-screen 0 1280x800x24"]
    if (
        shutil.which(command[0]) is None
        or subprocess.run([*command, fetch_napari(), "-c", program], check=False, capture_output=True).returncode
    ):
        pytest.skip(f"windows cannot be opened here: apt install {' '.join(_WINDOW_LIBRARIES)}")
    return command


def fetch_ohif() -> Path:
    """Folder with the files of a newer OHIF, without MONAI Label's mode, from npm; 210 MB."""
    folder = _FOLDER / "ohif"
    if not (folder / "done").is_file():
        if not shutil.which("npm"):
            pytest.skip("OHIF comes from npm, which is not installed")
        _FOLDER.mkdir(parents=True, exist_ok=True)
        archive = _FOLDER / "ohif-app-3.13.2.tgz"
        if not archive.is_file():
            subprocess.run(["npm", "pack", "--silent", _OHIF], check=True, cwd=_FOLDER, stdout=subprocess.DEVNULL)
        with tarfile.open(archive) as content:
            content.extractall(folder, filter="data")
        (folder / "done").touch()
    return folder / "package" / "dist"


def fetch_slicer() -> Path:
    """Python with 3D Slicer's core, in an environment of its own; 1 GB."""
    return _fetch_environment("slicer", *_SLICER)


def fetch_mitk() -> Path:
    """Python with MITK, in an environment of its own; 0.5 GB."""
    return _fetch_environment("mitk", _MITK)


def _fetch_environment(name: str, *packages: str) -> Path:
    python = _FOLDER / name / "bin" / "python"
    if not (_FOLDER / name / "done").is_file():
        # The one on the PATH may be a shim of pyenv, which refuses where another version is chosen.
        programs: list[str | Path] = ["python3.12"]
        programs += (Path.home() / ".pyenv" / "versions").glob("3.12.*/bin/python3.12")
        if not any(_makes_environment(program, _FOLDER / name) for program in programs):
            pytest.skip(f"{packages[0]} needs python3.12 on the PATH")
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        (_FOLDER / name / "done").touch()
    return python


def _makes_environment(program: str | Path, folder: Path) -> bool:
    if not shutil.which(program):
        return False
    command = [program, "-m", "venv", folder]
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


def _run(*command: str) -> None:
    _FOLDER.mkdir(parents=True, exist_ok=True)
    subprocess.run([ROOT / ".venv" / "bin" / "python", "-m", *command], check=True)
