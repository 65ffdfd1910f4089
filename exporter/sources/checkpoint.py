"""Read PyTorch checkpoints. Only tensors are loaded, never code."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from exporter.graph.network import build_network
from exporter.sources.model import SourceModel, provenance_of
from exporter.sources.options import ExportOptions, spec_of_file
from sixpoint.errors import InvalidArgument
from sixpoint.model_spec import ModelSpec

__all__ = ["StateDict", "load_checkpoint", "load_weights", "model_of_state", "read_checkpoint", "require_finite"]

StateDict = dict[str, torch.Tensor]

_MAX_RATIO = 200
"""Largest ratio of what a checkpoint unpacks to and its own size; torch.save does not compress."""


def load_checkpoint(path: Path, options: ExportOptions) -> SourceModel:
    """Read a model from a checkpoint and its spec.

    Raises:
        InvalidArgument: The checkpoint cannot be read or does not fit the spec's network, or there is no spec.
        ModelSpecError: The spec is invalid, or contradicts its network.
    """
    state = read_checkpoint(path)
    return model_of_state(state, spec_of_file(path, options), weights=path)


def model_of_state(state: StateDict, spec: ModelSpec, *, weights: Path, notes: tuple[str, ...] = ()) -> SourceModel:
    """Build the network that a spec names, with the weights of a state dict.

    Args:
        state: The weights.
        spec: Description of the model.
        weights: File that the weights were read from.
        notes: Notes for the user.

    Raises:
        InvalidArgument: The weights do not fit the network.
        ModelSpecError: The spec contradicts its network.
    """
    network = build_network(spec)
    load_weights(network, state)
    provenance = provenance_of(weights, "checkpoint_sha256", "torch", "monai", "onnx")
    return SourceModel(spec=spec, network=network, provenance=provenance, notes=notes)


def read_checkpoint(path: Path, *, key: str = "", empty: bool = False) -> StateDict:
    """Read the weights of a network.

    Args:
        path: File written by ``torch.save``: a state dict, or a mapping that holds one as ``state_dict`` or ``model``.
        key: Entry that holds the state dict, unless the file is a state dict itself; empty: one of the usual ones.

        empty: Whether a state dict without weights is accepted.

    Raises:
        InvalidArgument: The file is missing or truncated, holds other objects than tensors or no such entry, or weights
            that are not finite.
    """
    content = _load(path)
    if key and isinstance(content, dict) and not _is_state(content):
        if not isinstance(content.get(key), dict):
            raise InvalidArgument(
                f"{path.name} has no weights under {key!r}, which the config loads; it has: {_first_few(list(content))}"
            )
        content = content[key]
    for usual in () if key else ("state_dict", "model"):  # Ignite, and with it MONAI's bundles, use "model"
        if isinstance(content, dict) and isinstance(content.get(usual), dict):
            content = content[usual]
    if not isinstance(content, dict) or not (content or empty):
        raise InvalidArgument(f"{path} holds {type(content).__name__}, expected a state dict")
    others = [str(key) for key, value in content.items() if not isinstance(value, torch.Tensor)]
    if others:
        raise InvalidArgument(f"{path} is not a state dict: {_first_few(others)} are not tensors")
    state: StateDict = {str(key): value for key, value in content.items()}
    _require_stored(state, what=str(path))
    require_finite(state, what=str(path))
    if all(key.startswith("module.") for key in state):  # DataParallel adds this prefix
        state = {key.removeprefix("module."): value for key, value in state.items()}
    return state


def require_finite(state: StateDict, *, what: str) -> None:
    """Refuse weights that are NaN or infinite.

    Args:
        state: The weights.
        what: Name of their source in errors.

    Raises:
        InvalidArgument: A weight is not finite.
    """
    broken = [key for key, value in state.items() if value.is_floating_point() and not bool(value.isfinite().all())]
    if broken:
        raise InvalidArgument(f"{what} has weights that are NaN or infinite: {_first_few(broken)}")


def _require_stored(state: StateDict, *, what: str) -> None:
    """Refuse weights that repeat a few stored values, which would need any amount of memory once they are used.

    Raises:
        InvalidArgument: A weight claims more values than are stored for it.
    """
    claiming = [
        key
        for key, value in state.items()
        if value.layout == torch.strided and value.numel() * value.element_size() > value.untyped_storage().nbytes()
    ]
    if claiming:
        raise InvalidArgument(f"{what} has weights that claim more values than it holds: {_first_few(claiming)}")


def load_weights(network: torch.nn.Module, state: StateDict) -> None:
    """Load weights into a network; every weight must match.

    Raises:
        InvalidArgument: Names or shapes do not match.
    """
    own = network.state_dict()
    shared = own.keys() & state.keys()
    problems = {
        "missing": [key for key in own if key not in state],
        "unknown": [key for key in state if key not in own],
        "wrong shape": [key for key in own if key in shared and own[key].shape != state[key].shape],
    }
    if any(problems.values()):
        text = "; ".join(f"{problem}: {_first_few(keys)}" for problem, keys in problems.items() if keys)
        raise InvalidArgument(f"the checkpoint does not fit this {type(network).__name__}: {text}")
    network.load_state_dict(state)


def _load(path: Path) -> Any:
    if not path.is_file():
        raise InvalidArgument(f"there is no checkpoint {path}")
    try:
        path.open("rb").close()  # torch.load reports a file without read permission as damaged
    except OSError as error:
        raise InvalidArgument(f"{path} cannot be read: {error.strerror}") from error
    _require_uncompressed(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # advice about formats
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        culprit = re.search(r"GLOBAL (\S+)", str(error))
        if culprit:
            raise InvalidArgument(
                f"{path} holds Python objects ({culprit[1]}), which would run as code when loaded: "
                "save the network's state_dict() alone"
            ) from error
        raise InvalidArgument(f"{path} is not a PyTorch checkpoint, or is damaged") from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError) as error:  # what torch raises for broken archives
        raise InvalidArgument(f"{path} is not a PyTorch checkpoint, or is truncated") from error


def _require_uncompressed(path: Path) -> None:
    """Refuse a file of which PyTorch would unpack far more into memory than the file holds."""
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError):
        return  # an older format, or a damaged file, of which torch.load says so
    if unpacked > 2**20 and unpacked > _MAX_RATIO * path.stat().st_size:
        raise InvalidArgument(f"{path} unpacks to over {_MAX_RATIO} times its size: save it with torch.save again")


def _is_state(content: dict[Any, Any]) -> bool:
    return bool(content) and all(isinstance(value, torch.Tensor) for value in content.values())


def _first_few(names: list[Any]) -> str:
    return ", ".join(map(str, names[:3])) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
