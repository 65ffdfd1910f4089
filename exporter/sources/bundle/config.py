"""Read a MONAI bundle's config as data: ``@`` references are followed, nothing is imported or called.

MONAI's own ConfigParser imports what ``_target_`` names and evaluates ``$`` expressions, which makes a bundle a
program (GHSA-873f-pvrv-4x83). Format: MONAI's documentation, "Bundle Configuration".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from exporter.sources.bundle.expression import Unknown, evaluate
from sixpoint.errors import InvalidArgument

__all__ = ["Config"]

_MAX_DEPTH = 40
_MAX_VALUES = 100_000


@dataclass(frozen=True)
class Config:
    """A bundle's config.

    Attributes:
        data: Content of the file, unresolved.
    """

    data: Mapping[str, Any]

    def get(self, path: str, default: Any = None) -> Any:
        """Return the value at a path, with references followed and expressions evaluated.

        Args:
            path: Keys and indices, as ``a#b#0`` or ``a::b::0``.
            default: Value to return if the path does not exist.

        Returns:
            The value, in which :class:`~exporter.sources.bundle.expression.Unknown` stands for parts that need code.
        """
        return _Reader(self.data).at(path, 0, default)

    def targets(self, name: str) -> Iterator[dict[str, Any]]:
        """Yield every part of the config, at any depth, whose ``_target_`` is a class of this name."""
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
    """Resolve references, with limits on depth and number so that malicious configs end, too."""

    data: Mapping[str, Any]
    left: int = _MAX_VALUES

    def at(self, path: str, depth: int, default: Any) -> Any:
        value: Any = self.data
        for key in path.replace("::", "#").split("#"):
            if isinstance(value, str):  # a reference within the path
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
            raise InvalidArgument(
                f"the config's references multiply to over {_MAX_VALUES} values, more than any bundle needs"
            )
        if depth > _MAX_DEPTH:  # circular references
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
