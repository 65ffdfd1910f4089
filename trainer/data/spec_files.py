"""Read specs from YAML files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from sixpoint.errors import ModelSpecError
from sixpoint.model_spec.spec import ModelSpec

__all__ = ["read_spec", "read_spec_mapping"]


def read_spec(path: Path) -> ModelSpec:
    """The spec in a YAML file.

    Raises:
        ModelSpecError: When it is not one.
    """
    return ModelSpec.from_mapping(read_spec_mapping(path))


def read_spec_mapping(path: Path) -> dict[str, Any]:
    """A spec in a YAML file that may be incomplete.

    Raises:
        ModelSpecError: When it is not YAML, or no mapping.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ModelSpecError(f"{path.name} is not YAML: {error}") from error
    if not isinstance(data, dict):
        raise ModelSpecError(f"{path.name} holds no mapping")
    return data
