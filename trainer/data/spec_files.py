"""Read specs from YAML files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from sixpoint.errors import ModelSpecError
from sixpoint.model_spec import ModelSpec

__all__ = ["read_spec", "read_spec_mapping"]


def read_spec(path: Path) -> ModelSpec:
    """Read a complete spec.

    Raises:
        ModelSpecError: The file is not YAML, or not a valid spec.
    """
    return ModelSpec.from_mapping(read_spec_mapping(path))


def read_spec_mapping(path: Path) -> dict[str, Any]:
    """Read a spec that may be incomplete, as a mapping.

    Raises:
        ModelSpecError: The file is not YAML, or contains no mapping.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ModelSpecError(f"{path.name} is not YAML: {error}") from error
    if not isinstance(data, dict):
        raise ModelSpecError(f"{path.name} contains no mapping: expected the fields of a spec")
    return data
