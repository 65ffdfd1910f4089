"""Read and merge the nested mappings that describe a model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from sixpoint.errors import InvalidArgument

__all__ = ["merge", "read_mapping"]


def read_mapping(path: Path, *, what: str) -> dict[str, Any]:
    """Read a JSON or YAML file that holds a mapping.

    Args:
        path: The file.
        what: Name of the file in errors.

    Raises:
        InvalidArgument: The file cannot be read, is neither JSON nor YAML, or holds something else.
    """
    try:
        text = path.read_text(encoding="utf-8")
        data = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except OSError as error:
        raise InvalidArgument(f"{what} {path.name} cannot be read: {error.strerror}") from error
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise InvalidArgument(f"{what} {path.name} is neither YAML nor JSON: {reason}") from error
    if not isinstance(data, dict):
        raise InvalidArgument(f"{what} {path.name} holds {type(data).__name__}, expected a mapping")
    return data


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two nested mappings. Values of ``over`` take precedence; lists are replaced, not merged."""
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        result[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result
