"""Reading checkpoints: weights only, never code."""

from __future__ import annotations

import hashlib
import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import torch

from sixpoint.errors import InvalidArgument

__all__ = ["StateDict", "load_weights", "read_checkpoint", "require_finite", "sha256"]

StateDict = dict[str, torch.Tensor]


def read_checkpoint(path: Path) -> StateDict:
    """Read the weights of a network.

    Args:
        path: File written by ``torch.save``: a state dict, or a mapping that holds one as ``state_dict`` or ``model``.

    Raises:
        InvalidArgument: The file is missing or cut off, holds other objects than tensors, or weights that are NaN.
    """
    content = _load(path)
    for key in ("state_dict", "model"):  # Ignite, and with it MONAI's bundles, say model
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not content:
        raise InvalidArgument(f"{path} holds no state dict but {type(content).__name__}")
    strangers = [str(key) for key, value in content.items() if not isinstance(value, torch.Tensor)]
    if strangers:
        raise InvalidArgument(f"{path} is no state dict: {_few(strangers)} are no tensors")
    state: StateDict = {str(key): value for key, value in content.items()}
    require_finite(state, what=str(path))
    if all(key.startswith("module.") for key in state):  # as DataParallel names them
        state = {key.removeprefix("module."): value for key, value in state.items()}
    return state


def require_finite(state: StateDict, *, what: str) -> None:
    """Refuse weights that are NaN or infinite.

    Args:
        state: The weights.
        what: Where they came from, for errors.

    Raises:
        InvalidArgument: Some are, naming the first few.
    """
    broken = [key for key, value in state.items() if value.is_floating_point() and not bool(value.isfinite().all())]
    if broken:
        raise InvalidArgument(f"{what} has weights that are NaN or infinite: {_few(broken)}")


def load_weights(network: torch.nn.Module, state: StateDict) -> None:
    """Put weights into a network, all of them or none.

    Raises:
        InvalidArgument: Names or shapes do not match, naming the first few.
    """
    own = network.state_dict()
    shared = own.keys() & state.keys()
    problems = {
        "missing": [key for key in own if key not in state],
        "unknown": [key for key in state if key not in own],
        "of another shape": [key for key in own if key in shared and own[key].shape != state[key].shape],
    }
    if any(problems.values()):
        text = "; ".join(f"{what}: {_few(keys)}" for what, keys in problems.items() if keys)
        raise InvalidArgument(f"the checkpoint is not of this {type(network).__name__}: {text}")
    network.load_state_dict(state)


def sha256(path: Path) -> str:
    """The file's SHA-256, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _load(path: Path) -> Any:
    if not path.is_file():
        raise InvalidArgument(f"there is no checkpoint {path}")
    try:
        path.open("rb").close()  # so that a file which may not be read says so
    except OSError as error:
        raise InvalidArgument(f"{path} cannot be read: {error.strerror}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # advice on formats, where only the outcome matters
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        stranger = re.search(r"GLOBAL (\S+)", str(error))
        if stranger:
            raise InvalidArgument(
                f"{path} holds Python objects ({stranger[1]}), which would run as code when loaded: "
                "save the network's state_dict() alone"
            ) from error
        raise InvalidArgument(f"{path} is no checkpoint of PyTorch, or damaged") from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError) as error:  # what torch raises for broken archives
        raise InvalidArgument(f"{path} is no checkpoint of PyTorch, or cut off") from error


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
