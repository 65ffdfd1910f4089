"""Install the Triton that comes from pip, in a virtual environment of its own.

In production Triton lives in NVIDIA's container; on a laptop or in a test the wheel ``nvidia-pytriton`` carries the
same server. Of that wheel only the server is used, so none of its Python dependencies is installed; beside it come
onnxruntime, which runs the models (``backends/onnxruntime``), and the numpy that Triton's Python backend was built
for.

    python -m gateway.triton.local.install            # into .triton
    python -m gateway.triton.local.install FOLDER

The second time it finds everything in place and returns at once. Only the standard library is needed.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sixpoint.errors import FailedPrecondition, SixpointError, Unavailable

__all__ = ["CONTAINER", "DEFAULT_ENVIRONMENT", "REQUIREMENTS", "TritonEnvironment", "install", "main"]

DEFAULT_ENVIRONMENT = Path(".triton")
"""Where Triton is installed unless said otherwise, relative to the working directory."""

REQUIREMENTS = (
    "nvidia-pytriton==0.7.0",
    "numpy==1.26.4",  # with numpy 2, Triton's Python backend passes empty tensors
    "onnxruntime==1.32.0",
    "flatbuffers==25.12.19",  # this and the next two are what onnxruntime needs
    "packaging==26.3",
    "protobuf==7.36.2",
)
"""Everything in the environment, pinned: pip resolves nothing, and so has nothing to complain about."""

CONTAINER = (
    'docker run --rm -p 8001:8001 -p 8002:8002 --shm-size=1g -v "$PWD/model_repository:/models" '
    "nvcr.io/nvidia/tritonserver:24.10-py3 tritonserver --model-repository=/models "
    "--model-control-mode=explicit '--load-model=*' --exit-on-error=false"
)
"""Serves the same model repository from NVIDIA's container, wherever Docker runs; with a GPU add ``--gpus=all``."""

_PYTHONS = ((3, 11), (3, 12))
_GLIBC = (2, 35)
_STAMP = "sixpoint.json"
_PROBE = """
import ctypes, json, os, sys, sysconfig
name = "libpython%d.%d.so.1.0" % sys.version_info[:2]
found = False
for path in (os.path.join(sysconfig.get_config_var("LIBDIR") or "", name), name):
    try:
        found = found or bool(ctypes.CDLL(path))
    except OSError:
        pass
print(json.dumps({"version": sys.version_info[:2], "library": found}))
"""
_VERSIONS = """
import importlib.metadata as metadata, json
print(json.dumps({part.metadata["Name"].lower(): part.version for part in metadata.distributions()}))
"""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TritonEnvironment:
    """Where the parts of an installed Triton are.

    Attributes:
        root: The virtual environment.
        server: The ``tritonserver`` program.
        backend: Folder of Triton's Python backend.
        stub: The program in which the Python backend runs a model, for this environment's Python.
        libraries: Folders of shared libraries, in the order to search them.
    """

    root: Path
    server: Path
    backend: Path
    stub: Path
    libraries: tuple[Path, ...]

    @classmethod
    def locate(cls, root: Path) -> TritonEnvironment:
        """Find Triton in a virtual environment.

        Raises:
            FailedPrecondition: Triton is not there, or not all of it.
        """
        root = root.absolute()
        packages = next(iter(sorted(root.glob("lib/python3.*/site-packages"))), root)
        version = packages.parent.name.removeprefix("python")
        triton = packages / "pytriton" / "tritonserver"
        stub = triton / "python_backend_stubs" / version / "triton_python_backend_stub"
        found = cls(
            root=root,
            server=triton / "bin" / "tritonserver",
            backend=triton / "backends" / "python",
            stub=stub,
            libraries=(packages / "nvidia_pytriton.libs", *_python_library(root, version)),
        )
        for part in (found.server, found.backend / "libtriton_python.so", found.stub):
            if not part.is_file():
                raise FailedPrecondition(
                    f"no Triton in {root} ({part.name} is missing): install it with "
                    f"`python -m gateway.triton.local.install {root.name}`, or use NVIDIA's container: {CONTAINER}"
                )
        return found


def install(environment: Path = DEFAULT_ENVIRONMENT) -> TritonEnvironment:
    """Create the environment, or complete it; return at once when it is as it should be.

    Args:
        environment: Folder of the virtual environment.

    Raises:
        FailedPrecondition: This machine or this Python cannot run the Triton from pip; the message says what can.
        Unavailable: pip could not fetch or install something; the message holds the last lines that it wrote.
    """
    stamp = environment / _STAMP
    if stamp.is_file() and json.loads(stamp.read_text()) == list(REQUIREMENTS):
        return TritonEnvironment.locate(environment)
    check_machine(system=platform.system(), machine=platform.machine(), libc=platform.libc_ver())
    python = environment / "bin" / "python"
    if not python.exists():
        interpreter = find_python([sys.executable, "python3.12", "python3.11"])
        _log.info("creating %s", environment)
        _run([interpreter, "-m", "venv", str(environment)], "cannot create a virtual environment")
    if not _complete(python):
        _log.info("installing Triton into %s (about 320 MB, once)", environment)
        options = ["--quiet", "--no-deps", "--no-input", "--disable-pip-version-check", "--only-binary=:all:"]
        _run([str(python), "-m", "pip", "install", *options, *REQUIREMENTS], "pip cannot install Triton")
    found = TritonEnvironment.locate(environment)
    stamp.write_text(json.dumps(REQUIREMENTS) + "\n")
    return found


def check_machine(*, system: str, machine: str, libc: tuple[str, str]) -> None:
    """Refuse a machine for which there is no Triton in pip.

    Args:
        system: As ``platform.system()`` says.
        machine: As ``platform.machine()`` says.
        libc: As ``platform.libc_ver()`` says.

    Raises:
        FailedPrecondition: Naming what is needed and what was found.
    """
    if system != "Linux" or machine not in {"x86_64", "AMD64"}:
        raise _unsupported(f"is for Linux on x86-64, and this is {system} on {machine}")
    version = tuple(int(part) for part in re.findall(r"\d+", libc[1])[:2])
    if libc[0] != "glibc" or version < _GLIBC:
        found = " ".join(libc).strip() or "another C library"
        raise _unsupported(f"needs glibc 2.35 or newer (Ubuntu 22.04, Debian 12), and this is {found}")


def find_python(candidates: Sequence[str]) -> str:
    """The first interpreter that Triton's Python backend can run in.

    Args:
        candidates: Paths, or names to look up in PATH.

    Raises:
        FailedPrecondition: None is Python 3.11 or 3.12, or none has its shared library.
    """
    found: list[str] = []
    for candidate in candidates:
        path = shutil.which(candidate)
        probe = path and subprocess.run([path, "-c", _PROBE], capture_output=True, text=True, check=False)
        if not probe or probe.returncode:
            continue
        facts = json.loads(probe.stdout)
        version = ".".join(map(str, facts["version"]))
        if tuple(facts["version"]) not in _PYTHONS:
            found.append(f"Python {version}")
        elif not facts["library"]:
            found.append(f"Python {version} without its shared library (Debian, Ubuntu: package libpython{version})")
        else:
            return str(path)
    raise _unsupported(f"needs Python 3.11 or 3.12, and this machine has {', '.join(dict.fromkeys(found)) or 'none'}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns an exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m gateway.triton.local.install", description="Install Triton from pip."
    )
    default = os.environ.get("SIXPOINT_TRITON_ENVIRONMENT", str(DEFAULT_ENVIRONMENT))
    parser.add_argument("folder", nargs="?", type=Path, default=Path(default), help="default: %(default)s")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        found = install(options.folder)
    except SixpointError as error:
        _log.error("%s", error.message)
        return 1
    _log.info("Triton is in %s", found.root)
    return 0


def _python_library(root: Path, version: str) -> tuple[Path, ...]:
    """Folder of the shared library of the Python that the environment is based on, if it lies beside that Python.

    Otherwise the loader could pick another Python's library of the same name, with this one's standard library.
    """
    settings = root / "pyvenv.cfg"
    home = re.search(r"^home *= *(.+)$", settings.read_text(), re.MULTILINE) if settings.is_file() else None
    folder = Path(home[1].strip()).parent / "lib" if home else root
    return (folder,) if (folder / f"libpython{version}.so.1.0").is_file() else ()


def _complete(python: Path) -> bool:
    """Whether the environment has every requirement, in the version asked for."""
    listing = subprocess.run([python, "-c", _VERSIONS], capture_output=True, text=True, check=False)
    versions: Mapping[str, str] = {} if listing.returncode else json.loads(listing.stdout)
    return all(versions.get(name) == version for name, version in (line.split("==") for line in REQUIREMENTS))


def _run(command: list[str], failure: str) -> None:
    environment = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "PYTHONHOME"}}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise Unavailable(f"{failure}: {' | '.join(lines[-4:])}")


def _unsupported(what: str) -> FailedPrecondition:
    return FailedPrecondition(f"the Triton from pip {what}. Use NVIDIA's container instead: {CONTAINER}")


if __name__ == "__main__":
    sys.exit(main())
