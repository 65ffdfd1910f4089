"""Read TorchScript files: scripted or traced networks, which are programs and run in a process of their own."""

from __future__ import annotations

import functools
import json
import logging
import shutil
import subprocess
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from exporter.graph.adapters import network_shape
from exporter.graph.model_files import MODEL_FILE
from exporter.graph.session import require_small_window
from exporter.graph.worker import worker_command, worker_environment
from exporter.sources.checkpoint import StateDict, read_checkpoint, require_finite
from exporter.sources.model import SourceModel, provenance_of
from exporter.sources.onnx import read_onnx
from sixpoint.errors import FailedPrecondition, InvalidArgument
from sixpoint.model_spec import ModelSpec

__all__ = ["ConfinedScript", "is_torchscript", "load_torchscript", "require_trust", "script_state"]

_log = logging.getLogger(__name__)

_SECONDS = 1800


class ConfinedScript(nn.Module):
    """A TorchScript network that runs in a process of its own, without network and without write access.

    Args:
        path: The TorchScript file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        """Return the network's output for ``value`` [batch, channel, its spatial axes]."""
        with tempfile.TemporaryDirectory(prefix="sixpoint-script-") as folder:
            np.save(Path(folder, "inputs.npy"), value.numpy())
            _run(self.path, Path(folder), do="run")
            return torch.from_numpy(np.load(Path(folder, "outputs.npy"), allow_pickle=False))


def is_torchscript(path: Path) -> bool:
    """Whether a file is a TorchScript archive: a zip with code in it, unlike a checkpoint."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any("/code/" in name for name in archive.namelist())
    except (OSError, zipfile.BadZipFile, zlib.error):
        return False


def require_trust(path: Path, *, trusted: bool) -> tuple[str, ...]:
    """Refuse a TorchScript file whose origin the user has not said to trust; nothing of it is loaded.

    Returns:
        Notes about what this system cannot take away from the process that is to load the file. They are logged, too,
        since a user should know before the file has run.

    Raises:
        InvalidArgument: ``trusted`` is False.
    """
    notes = tuple(f"this system cannot take {text} from a TorchScript file" for text in _not_taken_away())
    if not trusted:
        raise InvalidArgument(
            f"{path.name} is TorchScript, a program that runs when it is loaded: use the network's weights (a state "
            "dict) or ONNX instead, or, if you trust its origin, repeat with --trust-torchscript"
            + "".join(f"; {note}" for note in notes)
        )
    for note in notes:
        _log.warning("warning: %s", note)
    return notes


def load_torchscript(
    path: Path, spec: ModelSpec, *, folder: Path, trusted: bool, notes: tuple[str, ...] = ()
) -> SourceModel:
    """Read a model from a TorchScript file and its spec.

    Args:
        path: The TorchScript file.
        spec: Description of the model.
        folder: Folder for intermediate files.
        trusted: Whether the user trusts the file's origin.
        notes: Notes for the user.

    Raises:
        InvalidArgument: The file cannot be read, or is not trusted.
        ModelSpecError: The network's tensors do not match the spec.
        FailedPrecondition: PyTorch cannot export the network.
    """
    notes = (*notes, *require_trust(path, trusted=trusted))
    require_small_window(spec)
    exported = folder / "network"
    exported.mkdir()
    script = Path(shutil.copyfile(path, folder / "script.ts"))  # a bundle's zip archive is unpacked for a while only
    _run(path, exported, do="export", shape=list(network_shape(spec)))
    require_finite(read_checkpoint(exported / "state.pt", empty=True), what=path.name)
    network = (exported / "network.onnx").rename(exported / MODEL_FILE)
    provenance = provenance_of(path, "torchscript_sha256", "torch", "onnx")
    graph = read_onnx(network, spec, folder=exported)
    return SourceModel(spec=spec, network=ConfinedScript(script), provenance=provenance, graph=graph, notes=notes)


def script_state(path: Path, *, trusted: bool) -> tuple[StateDict, tuple[str, ...]]:
    """Read the weights in a TorchScript file, under the names that they have in the scripted network.

    Returns:
        The weights, and notes for the user.

    Raises:
        InvalidArgument: The file cannot be read, or is not trusted; or a weight is not finite.
    """
    notes = require_trust(path, trusted=trusted)
    with tempfile.TemporaryDirectory(prefix="sixpoint-script-") as folder:
        _run(path, Path(folder), do="state")
        return read_checkpoint(Path(folder, "state.pt")), notes


@functools.cache
def _not_taken_away() -> tuple[str, ...]:
    """Return what this system cannot take away from a process, as one finds that loads nothing."""
    with tempfile.TemporaryDirectory(prefix="sixpoint-script-") as folder:
        return tuple(_start(Path(folder), {"do": "confine"}, what="TorchScript")["left"])


def _run(path: Path, folder: Path, *, do: str, **more: Any) -> None:
    """Have a confined process do a job with a TorchScript file.

    Raises:
        InvalidArgument: The file cannot be used; the message says why.
        FailedPrecondition: PyTorch cannot export it.
    """
    job = {"file": str(path.resolve()), "do": do, "left": _not_taken_away(), **more}
    result = _start(folder, job, what=path.name)
    if "unsupported" in result:
        raise FailedPrecondition(
            f"PyTorch cannot export this TorchScript network: {result['unsupported']}; export the network's state dict "
            "with a spec instead"
        )
    if "error" in result:
        raise InvalidArgument(f"{path.name} cannot be used: {result['error']}")


def _start(folder: Path, job: dict[str, Any], *, what: str) -> dict[str, Any]:
    """Run the worker on a job in a folder; returns its result.

    Raises:
        InvalidArgument: It does not finish, or leaves no result.
    """
    (folder / "job.json").write_text(json.dumps(job))
    try:
        done = subprocess.run(
            worker_command("exporter.sources.torchscript_worker", str(folder.resolve())),
            env=worker_environment(TMPDIR=str(folder.resolve())),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise InvalidArgument(f"{what} did not finish within {_SECONDS // 60} minutes") from error
    try:
        result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    except (OSError, ValueError) as error:
        raise InvalidArgument(f"{what} ended the process that loads it (status {done.returncode})") from error
    return result
