"""Read and write checkpoints."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import torch

from sixpoint.errors import InvalidArgument
from trainer.data.atomic_files import write_atomically

__all__ = ["read_weights", "save_atomically"]


def read_weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    """The weights in a checkpoint.

    Raises:
        InvalidArgument: The file is no checkpoint.
    """
    try:
        state: dict[str, torch.Tensor] = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    except (OSError, RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
        raise InvalidArgument(f"{checkpoint} is no checkpoint with a state_dict") from error
    return state


def save_atomically(path: Path, state: dict[str, Any]) -> None:
    """``torch.save``, whole or not at all."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomically(path, buffer.getvalue())
