"""Read and merge the nested mappings that describe a model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from sixpoint.errors import InvalidArgument

__all__ = ["merge", "read_mapping"]

_MAX_VALUES = 100_000


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
        data = json.loads(text) if path.suffix == ".json" else _load_yaml(text)
    except OSError as error:
        raise InvalidArgument(f"{what} {path.name} cannot be read: {error.strerror}") from error
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise InvalidArgument(f"{what} {path.name} is neither YAML nor JSON: {reason}") from error
    if not isinstance(data, dict):
        raise InvalidArgument(f"{what} {path.name} holds {type(data).__name__}, expected a mapping")
    return data


def _load_yaml(text: str) -> Any:
    """Read YAML whose aliases do not multiply.

    Raises:
        ValueError: The values would be more than any model's description needs, or contain themselves.
        yaml.YAMLError: The text is not YAML.
    """
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _count(node, {}) > _MAX_VALUES:
            raise ValueError(f"its aliases multiply to over {_MAX_VALUES} values, more than any model needs")
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _count(node: yaml.Node, counts: dict[int, int]) -> int:
    """Return the number of values in a node, each alias counted as what it stands for."""
    if id(node) in counts:
        if not counts[id(node)]:
            raise ValueError("an alias contains itself")
        return counts[id(node)]
    counts[id(node)] = 0
    total = 1
    if isinstance(node, yaml.MappingNode):
        total += sum(_count(part, counts) for pair in node.value for part in pair)
    elif isinstance(node, yaml.SequenceNode):
        total += sum(_count(part, counts) for part in node.value)
    counts[id(node)] = total
    return total


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two nested mappings. Values of ``over`` take precedence; lists are replaced, not merged."""
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        result[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result
