"""Install Triton from pip, in a virtual environment of its own.

In production, Triton runs in NVIDIA's container. For laptops and tests, the wheel ``nvidia-pytriton`` contains the same
server. Only the server of the wheel is used, so its Python dependencies are not installed. onnxruntime runs the models
(``backends/onnxruntime``), with the NumPy that Triton's Python backend was built for.

    python -m gateway.triton.local.install            # into .triton
    python -m gateway.triton.local.install FOLDER

If everything is installed already, it returns at once. It needs only the standard library.
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
from sixpoint.io.secret_files import environment_without_secrets

__all__ = ["CONTAINER", "DEFAULT_ENVIRONMENT", "REQUIREMENTS", "TritonEnvironment", "install", "main"]

DEFAULT_ENVIRONMENT = Path(".triton")
"""Default folder of the environment, relative to the working directory."""

REQUIREMENTS = (
    "nvidia-pytriton==0.7.0",
    "numpy==1.26.4",  # with NumPy 2, Triton's Python backend passes empty tensors
    "onnxruntime==1.32.0",
    "flatbuffers==25.12.19",  # this and the next two are dependencies of onnxruntime
    "packaging==26.3",
    "protobuf==7.36.2",
)
"""All packages of the environment, pinned; they are installed without resolving dependencies."""

CONTAINER = (
    'docker run --rm -p 8001:8001 -p 8002:8002 --shm-size=1g -v "$PWD/model_repository:/models" '
    "nvcr.io/nvidia/tritonserver:24.10-py3 tritonserver --model-repository=/models "
    "--model-control-mode=explicit '--load-model=*' --exit-on-error=false"
)
"""Command that serves the same model repository from NVIDIA's container; with a GPU add ``--gpus=all``."""

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
    """Paths of an installed Triton.

    Attributes:
        root: Folder of the virtual environment.
        server: The ``tritonserver`` program.
        backend: Folder of Triton's Python backend.
        stub: Program in which the Python backend runs a model, for this environment's Python.
        libraries: Folders of shared libraries, in search order.
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
            FailedPrecondition: When Triton is not installed, or only in part.
        """
        root = root.absolute()
        packages = next(iter(sorted(root.glob("lib/python3.*/site-packages"))), root)
        version = packages.parent.name.removeprefix("python")
        triton = packages / "pytriton" / "tritonserver"
        stub = triton / "python_backend_stubs" / version / "triton_python_backend_stub"
        environment = cls(
            root=root,
            server=triton / "bin" / "tritonserver",
            backend=triton / "backends" / "python",
            stub=stub,
            libraries=(packages / "nvidia_pytriton.libs", *_python_library(root, version)),
        )
        for part in (environment.server, environment.backend / "libtriton_python.so", environment.stub):
            if not part.is_file():
                raise FailedPrecondition(
                    f"no Triton in {root} ({part.name} is missing): install it with "
                    f"`python -m gateway.triton.local.install {root.name}`, or use NVIDIA's container: {CONTAINER}"
                )
        return environment


def install(environment: Path = DEFAULT_ENVIRONMENT) -> TritonEnvironment:
    """Create or complete the environment; return at once if it is complete.

    Args:
        environment: Folder of the virtual environment.

    Raises:
        FailedPrecondition: When this machine or its Python cannot run the Triton from pip; the error says what can.
        Unavailable: When pip cannot download or install a package; the error has the last lines of its output.
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
        _log.info("installing Triton into %s (once: about 100 MB to download, 320 MB on disk)", environment)
        options = ["--quiet", "--no-deps", "--no-input", "--disable-pip-version-check", "--only-binary=:all:"]
        _run([str(python), "-m", "pip", "install", *options, *REQUIREMENTS], "pip cannot install Triton")
    installed = TritonEnvironment.locate(environment)
    stamp.write_text(json.dumps(REQUIREMENTS) + "\n")
    return installed


def check_machine(*, system: str, machine: str, libc: tuple[str, str]) -> None:
    """Refuse a machine that the Triton from pip does not support.

    Args:
        system: Result of ``platform.system()``.
        machine: Result of ``platform.machine()``.
        libc: Result of ``platform.libc_ver()``.

    Raises:
        FailedPrecondition: Naming the requirement and the machine's value.
    """
    if system != "Linux" or machine not in {"x86_64", "AMD64"}:
        raise _unsupported(f"is for Linux on x86-64, and this is {system} on {machine}")
    version = tuple(int(part) for part in re.findall(r"\d+", libc[1])[:2])
    if libc[0] != "glibc" or version < _GLIBC:
        name = " ".join(libc).strip() or "another C library"
        raise _unsupported(f"needs glibc 2.35 or newer (Ubuntu 22.04, Debian 12), and this is {name}")


def find_python(candidates: Sequence[str]) -> str:
    """Find the first Python that Triton's Python backend can run in.

    Args:
        candidates: Paths of interpreters, or names to look up in PATH.

    Raises:
        FailedPrecondition: When no candidate is Python 3.11 or 3.12 with a shared library.
    """
    unsuitable: list[str] = []
    for candidate in candidates:
        path = shutil.which(candidate)
        environment = environment_without_secrets()
        probe = path and subprocess.run(
            [path, "-c", _PROBE], capture_output=True, text=True, check=False, env=environment
        )
        if not probe or probe.returncode:
            continue
        facts = json.loads(probe.stdout)
        version = ".".join(map(str, facts["version"]))
        if tuple(facts["version"]) not in _PYTHONS:
            unsuitable.append(f"Python {version}")
        elif not facts["library"]:
            unsuitable.append(
                f"Python {version} without its shared library (Debian, Ubuntu: package libpython{version})"
            )
        else:
            return str(path)
    raise _unsupported(
        f"needs Python 3.11 or 3.12, and this machine has {', '.join(dict.fromkeys(unsuitable)) or 'none'}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return an exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m gateway.triton.local.install", description="Install Triton from pip."
    )
    default = os.environ.get("SIXPOINT_TRITON_ENVIRONMENT", str(DEFAULT_ENVIRONMENT))
    parser.add_argument("folder", nargs="?", type=Path, default=Path(default), help="default: %(default)s")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        installed = install(options.folder)
    except SixpointError as error:
        _log.error("%s", error.message)
        return 1
    _log.info("Triton is in %s", installed.root)
    return 0


def _python_library(root: Path, version: str) -> tuple[Path, ...]:
    """Find the folder of the shared library of the environment's base Python, if it is next to that Python.

    Without it, the loader could load the library of another Python of the same version.
    """
    settings = root / "pyvenv.cfg"
    home = re.search(r"^home *= *(.+)$", settings.read_text(), re.MULTILINE) if settings.is_file() else None
    folder = Path(home[1].strip()).parent / "lib" if home else root
    return (folder,) if (folder / f"libpython{version}.so.1.0").is_file() else ()


def _complete(python: Path) -> bool:
    """Whether the environment has all requirements in the pinned versions."""
    command = [str(python), "-c", _VERSIONS]
    environment = environment_without_secrets()
    listing = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    versions: Mapping[str, str] = {} if listing.returncode else json.loads(listing.stdout)
    return all(versions.get(name) == version for name, version in (line.split("==") for line in REQUIREMENTS))


def _run(command: list[str], failure: str) -> None:
    environment = environment_without_secrets()
    for name in ("PYTHONPATH", "PYTHONHOME"):
        environment.pop(name, None)
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise Unavailable(f"{failure}: {' | '.join(lines[-4:])}")


def _unsupported(what: str) -> FailedPrecondition:
    return FailedPrecondition(f"the Triton from pip {what}. Use NVIDIA's container instead: {CONTAINER}")


if __name__ == "__main__":
    sys.exit(main())
