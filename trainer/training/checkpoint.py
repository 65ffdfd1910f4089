"""Checkpoint files: published weights with their spec, and whatever else ``torch.save`` writes."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml

from sixpoint.errors import InvalidArgument
from sixpoint.io.atomic_files import write_file
from sixpoint.model_spec import ModelSpec

__all__ = ["CHECKPOINT", "SPEC", "publish", "read_weights", "save_atomically"]

CHECKPOINT = "checkpoint.pt"
"""File of the published weights: ``{"state_dict": averaged weights}``."""
SPEC = "spec.yaml"
"""File of the spec beside it, with measured figures and provenance."""


def publish(out: Path, weights: Mapping[str, torch.Tensor], spec: ModelSpec) -> None:
    """Write a checkpoint and its spec into the folder of a run.

    Args:
        out: Folder of the run.
        weights: State dict of the network, on any device.
        spec: Spec of the network, with measured figures and provenance.
    """
    save_atomically(out / CHECKPOINT, {"state_dict": {name: value.cpu() for name, value in weights.items()}})
    text = yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    write_file(out / SPEC, text.encode())


def read_weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    """Read the weights of a checkpoint.

    Raises:
        InvalidArgument: The file is not a checkpoint with a ``state_dict``.
    """
    try:
        state: dict[str, torch.Tensor] = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    except (OSError, RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
        raise InvalidArgument(f"{checkpoint} is not a checkpoint: expected a file with a state_dict") from error
    return state


def save_atomically(path: Path, state: dict[str, Any]) -> None:
    """Write a file with ``torch.save``, whole or not at all."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_file(path, buffer.getvalue())
