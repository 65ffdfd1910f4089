"""Where the model repository of a Triton on this machine lies: the gateway serves it, the exporter publishes to it."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["REPOSITORY_VARIABLE", "default_repository", "repository_from_environment"]

REPOSITORY_VARIABLE = "SIXPOINT_TRITON_MODEL_REPOSITORY"
"""Environment variable that names another folder."""

_STATE_VARIABLE = "SIXPOINT_STATE_FOLDER"
_STATE_FOLDER = "state"


def default_repository(state_folder: Path) -> Path:
    """Return the model repository in the gateway's state folder."""
    return state_folder / "model_repository"


def repository_from_environment() -> str:
    """Return the address of the model repository that ``gateway serve --local-triton`` serves with this environment."""
    state = Path(os.environ.get(_STATE_VARIABLE) or _STATE_FOLDER)
    return os.environ.get(REPOSITORY_VARIABLE) or str(default_repository(state))
