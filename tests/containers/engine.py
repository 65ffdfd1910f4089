"""Buildah and Podman without a daemon, and a small Debian to build on: ``make containers``."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

__all__ = ["HARDENED", "Engine", "debian_base", "python_of_debian", "require_programs"]

_PROGRAMS = ("buildah", "mmdebstrap", "podman", "runc", "strip")
# runc with cgroupfs and vfs: they need no systemd and no overlays. Limits no higher than those of this process.
_STORAGE = ["--storage-driver", "vfs"]
_RUN = ["--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096"]
HARDENED = [
    *("--read-only", "--read-only-tmpfs=false", "--tmpfs", "/tmp:mode=1777"),
    *("--cap-drop", "all", "--security-opt", "no-new-privileges"),
]
"""Options of a container that may do nothing but its work."""
# As in python:slim: no manuals, and libstdc++ and certificates, which it has by its other packages.
_PACKAGES = "python3,libstdc++6,ca-certificates,usr-is-merged"
_PATIENCE_S = 120.0
_LEFT_OUT = ("man", "doc", "info", "locale", "lintian")


def require_programs() -> None:
    """Skip the test unless it is asked for, and can run here."""
    if not os.environ.get("CONTAINERS"):
        pytest.skip("takes minutes: make containers")
    if missing := [name for name in _PROGRAMS if not shutil.which(name)]:
        packages = " ".join("binutils" if name == "strip" else name for name in missing)
        pytest.skip(f"{', '.join(missing)}: not installed; Debian: apt-get install {packages}")
    if os.getuid() != 0:
        pytest.skip("the base is made by root")


def python_of_debian() -> str:
    """The Python whose wheels Debian's Python takes."""
    if sys.version_info[:2] == (3, 11):
        return sys.executable
    return shutil.which("python3.11") or pytest.skip(
        "there is no python3.11, Debian 12's Python, to collect wheels with"
    )


def debian_base() -> Path:
    """An archive of Debian 12 with Python, made once."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sixpoint-tests" / "containers"
    base = folder / "bookworm.tar"
    if not base.exists():
        folder.mkdir(parents=True, exist_ok=True)
        made = folder / f"{os.getpid()}.tar"
        options = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _LEFT_OUT]
        hook = "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr"
        variant = ["--variant=essential", f"--include={_PACKAGES}", "--format=tar"]
        _check("mmdebstrap", *variant, hook, *options, "bookworm", str(made))
        made.rename(base)
    return base


@dataclass(frozen=True)
class Engine:
    """Images and containers in one folder.

    Attributes:
        folder: Where they lie.
    """

    folder: Path

    def load_base(self, archive: Path) -> str:
        """Make an image of an archive; returns its name."""
        self.podman("import", "--quiet", str(archive), "localhost/sixpoint-base")
        return "localhost/sixpoint-base"

    def build(self, containerfile: Path, context: Path, *, tag: str, **arguments: str) -> None:
        """Build an image."""
        build_arguments = [part for name, value in arguments.items() for part in ("--build-arg", f"{name}={value}")]
        # Only Docker's format has health checks.
        options = ["--isolation", "chroot", "--format", "docker", "--quiet", "--tag", tag, *build_arguments]
        _check("buildah", *self._storage, "bud", *options, "--file", str(containerfile), str(context))

    def podman(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run podman."""
        command = ["podman", *self._storage, "--cgroup-manager", "cgroupfs", "--runtime", "runc", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_PATIENCE_S)
        assert not check or done.returncode == 0, done.stderr
        return done

    def run(self, *arguments: str, network: str = "host", check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a container, by default on the network of this machine."""
        return self.podman("run", "--network", network, *_RUN, *arguments, check=check)

    def inspect(self, name: str) -> Any:
        """What podman knows of an image or a container."""
        return json.loads(self.podman("inspect", name).stdout)[0]

    @property
    def _storage(self) -> list[str]:
        return ["--root", str(self.folder / "root"), "--runroot", str(self.folder / "run"), *_STORAGE]


def _check(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
