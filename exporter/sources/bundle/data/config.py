"""Read a MONAI bundle's config as data: ``@`` references are followed, nothing is imported or called.

MONAI's own ConfigParser imports what ``_target_`` names and evaluates ``$`` expressions, which makes a bundle a
program (GHSA-873f-pvrv-4x83). Format: MONAI's documentation, "Bundle Configuration".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from exporter.sources.bundle.data.constants import imported_modules
from exporter.sources.bundle.data.expression import Unknown, evaluate, references
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
            The value, in which :class:`.Unknown` stands for parts that need code.
        """
        return _Reader(self.data).at(path, 0, default)

    def mentions(self, text: Any, path: str) -> bool:
        """Whether a text of the config refers to an entry, itself or by entries that it refers to.

        Args:
            text: A value as it stands in the config, as ``@network`` or ``$@network_def.to(@device)``.
            path: The entry, as ``network_def``.
        """
        seen: set[str] = set()
        texts = [text]
        while texts:
            text = texts.pop()
            for name in references(text) if isinstance(text, str) else ():
                if name == path:
                    return True
                if name not in seen:
                    seen.add(name)
                    texts.append(self.data.get(name))
        return False

    def targets(self, name: str) -> Iterator[tuple[Mapping[str, Any], dict[str, Any]]]:
        """Yield every part of the config, at any depth, whose ``_target_`` is a class of this name.

        Yields:
            The part as it stands in the config, and with references followed and expressions evaluated.
        """
        stack: list[Any] = [self.data]
        while stack:
            part = stack.pop()
            if isinstance(part, Mapping):
                if str(part.get("_target_", "")).rpartition(".")[2] == name:
                    yield part, _Reader(self.data).resolve(part, 0)
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
            return evaluate(
                value[1:],
                lambda path: self.at(path, depth + 1, Unknown(f"@{path}")),
                modules=imported_modules(self.data.get("imports")),
            )
        if value.startswith(("@", "%")):
            return self.at(value[1:], depth + 1, Unknown(value))
        return value
