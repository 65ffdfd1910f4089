"""What a Triton on this machine runs in: its backends in one folder, and its environment variables."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from gateway.triton.local.install import TritonEnvironment

__all__ = ["assemble_backends", "triton_variables"]

_BACKENDS = Path(__file__).parent / "backends"
# What of our environment Triton may need: language, time zone, folders, and the use of cores and GPUs.
_PASSED_VARIABLES = (
    "CUDA_DEVICE_ORDER",
    "CUDA_VISIBLE_DEVICES",
    "HOME",
    "LANG",
    "LC_ALL",
    "NVIDIA_DRIVER_CAPABILITIES",
    "NVIDIA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
    "TMPDIR",
    "TZ",
)


def assemble_backends(environment: TritonEnvironment, folder: Path) -> Path:
    """Copy Triton's Python backend and ours into one folder: Triton refuses links that lead out of it."""
    backends = folder / "backends"
    shutil.copytree(environment.backend, backends / "python", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(environment.stub, backends / "python")
    shutil.copytree(_BACKENDS, backends, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    return backends


def triton_variables(environment: TritonEnvironment) -> dict[str, str]:
    """Return Triton's environment variables: its own libraries and Python, and none of the gateway's secrets."""
    variables = {name: os.environ[name] for name in _PASSED_VARIABLES if name in os.environ}
    variables["PATH"] = os.pathsep.join([str(environment.root / "bin"), os.defpath])
    variables["LD_LIBRARY_PATH"] = os.pathsep.join(map(str, environment.libraries))
    variables["PYTHONDONTWRITEBYTECODE"] = "1"
    return variables
