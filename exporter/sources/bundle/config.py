"""A MONAI bundle's config as data: read, merged, ``@`` references followed; nothing in it is called.

MONAI's own ConfigParser imports what ``_target_`` names and evaluates ``$`` expressions, which makes a bundle a program
(GHSA-873f-pvrv-4x83). Format: MONAI's documentation, "Bundle Configuration".
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from exporter.sources.bundle.expression import Unknown, evaluate
from sixpoint.errors import InvalidArgument

__all__ = ["Config", "read_mapping"]

_DEEPEST = 40
_MOST = 100_000


def read_mapping(path: Path, *, what: str) -> dict[str, Any]:
    """A JSON or YAML file that holds a mapping.

    Args:
        path: The file.
        what: It, for errors.

    Raises:
        InvalidArgument: It cannot be read, is neither, or holds no mapping.
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
        raise InvalidArgument(f"{what} {path.name} holds no mapping but {type(data).__name__}")
    return data


@dataclass(frozen=True)
class Config:
    """A bundle's config.

    Attributes:
        data: As the file's reader returned it.
    """

    data: Mapping[str, Any]

    def get(self, path: str, default: Any = None) -> Any:
        """The value at a path (``a#b#0``, or with ``::``), references followed and expressions worked out.

        What only code could tell is :class:`~exporter.sources.bundle.expression.Unknown`; what is not there,
        ``default``.
        """
        return _Reader(self.data).at(path, 0, default)

    def targets(self, name: str) -> Iterator[dict[str, Any]]:
        """Every part of the config, wherever it is, whose ``_target_`` is a class of this name."""
        stack: list[Any] = [self.data]
        while stack:
            part = stack.pop()
            if isinstance(part, Mapping):
                if str(part.get("_target_", "")).rpartition(".")[2] == name:
                    yield _Reader(self.data).resolve(part, 0)
                stack += part.values()
            elif isinstance(part, list):
                stack += part


@dataclass
class _Reader:
    """One walk through a config; it ends however often references multiply each other."""

    data: Mapping[str, Any]
    left: int = _MOST

    def at(self, path: str, depth: int, default: Any) -> Any:
        value: Any = self.data
        for key in path.replace("::", "#").split("#"):
            if isinstance(value, str):  # a reference on the way
                value = self.resolve(value, depth + 1)
            if isinstance(value, Mapping) and key in value:
                value = value[key]
            elif isinstance(value, list) and key.isdigit() and int(key) < len(value):
                value = value[int(key)]
            else:
                return default
        return self.resolve(value, depth + 1)

    def resolve(self, value: Any, depth: int) -> Any:
        self.left -= 1
        if self.left < 0:
            raise InvalidArgument(f"the config's references multiply to over {_MOST} values: no bundle needs that")
        if depth > _DEEPEST:  # references that lead in a circle
            return Unknown(str(value)[:80])
        if isinstance(value, Mapping):
            return {key: self.resolve(part, depth + 1) for key, part in value.items()}
        if isinstance(value, list):
            return [self.resolve(part, depth + 1) for part in value]
        if not isinstance(value, str):
            return value
        if value.startswith("$"):
            return evaluate(value[1:], lambda path: self.at(path, depth + 1, Unknown(f"@{path}")))
        if value.startswith(("@", "%")):
            return self.at(value[1:], depth + 1, Unknown(value))
        return value
