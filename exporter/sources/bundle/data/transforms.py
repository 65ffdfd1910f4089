"""The transforms of a config as steps: in order, for one key, with the arguments that hold for this key."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from exporter.sources.bundle.data.expression import Unknown, UnknownValueError

__all__ = ["COMMON_ARGUMENTS", "Step", "first_unknown", "is_disabled", "plain_name", "step_keys", "steps"]

COMMON_ARGUMENTS = frozenset(["keys", "allow_missing_keys", "meta_keys", "meta_key_postfix", "track_meta", "device"])
"""Arguments of many transforms that change no number of an image."""
_OWN_D = ("SpatialPad",)
"""Names that end with a d of their own, not with that of dictionary transforms."""
_WRITTEN = ("name", "names", "new_key", "output_keys", "image_key")
"""Arguments that name entries which a transform writes."""


@dataclass(frozen=True)
class Step:
    """One transform of a chain, for one key.

    Attributes:
        name: Name of its class, without the ``d`` of dictionary transforms; with its module if it is not MONAI's.
            Empty for anything that is not a transform.
        arguments: Its arguments, as the config has them.
        index: Position of the key in its ``keys``.
        count: Number of its ``keys``.
        problem: Why it cannot be told what it does to the key; empty if it can.
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    index: int = 0
    count: int = 1
    problem: str = ""

    def get(self, argument: str, default: Any = None) -> Any:
        """Return an argument that holds for all keys.

        Raises:
            UnknownValueError: The argument can be computed by running code only.
        """
        return _plain(self.arguments.get(argument, default))

    def for_key(self, argument: str, default: Any = None) -> Any:
        """Return an argument that may be a list with one value for each key, as in MONAI's dictionary transforms.

        Raises:
            UnknownValueError: The argument can be computed by running code only.
            ValueError: The list has another length than ``keys``.
        """
        value = self.get(argument, default)
        if not isinstance(value, list | tuple):
            return value
        if len(value) == 1:
            return value[0]
        if len(value) != self.count:
            raise ValueError(f"{argument} has {len(value)} values for {self.count} keys")
        return value[self.index]

    def unread(self, read: Collection[str]) -> str:
        """Return the first argument, with its value, that is neither read nor without effect; empty if there is none.

        Args:
            read: Names of the arguments that the caller reads or that change no number.
        """
        for argument, value in self.arguments.items():
            if argument.startswith("_") or argument in COMMON_ARGUMENTS or argument in read:
                continue
            if value is None or value is False:
                continue
            return f"{argument}: {value}"
        return ""


def plain_name(target: object) -> str:
    """Return the name of a transform's class, without the suffix of dictionary transforms.

    The module is left out if it is MONAI's or Clara's; another module's class of the same name may do anything.
    """
    module, _, name = str(target).rpartition(".")
    if module and module.partition(".")[0] not in {"monai", "aiaa", "ai4med"}:
        return str(target)
    if name in _OWN_D:
        return name
    return re.sub(r"(d|D|Dict)$", "", name) if name[:1].isupper() else name


def is_disabled(arguments: Mapping[str, Any]) -> bool:
    """Whether MONAI leaves a part of a config out: a text other than "true" counts as false.

    Raises:
        UnknownValueError: It can be told by running code only.
    """
    value = arguments.get("_disabled_", False)
    return value.lower().strip() == "true" if isinstance(value, str) else bool(value)


def steps(value: Any, key: str) -> Iterator[Step]:
    """Yield the transforms for one key, in order, with Compose and lists unrolled."""
    if value is None:
        return
    if isinstance(value, list | tuple):
        for part in value:
            yield from steps(part, key)
        return
    if not isinstance(value, Mapping):
        yield Step("", problem=f"{value} is not a transform that a config states")
        return
    name = plain_name(value.get("_target_", ""))
    try:
        if is_disabled(value):
            return
        if name == "Compose":
            yield from _compose(value, key)
            return
        keys, mode = step_keys(value, key), _plain(value.get("_mode_", "default"))
    except UnknownValueError as error:
        yield Step(name, value, problem=f"{error.text} can be computed by running code only")
        return
    if mode != "default":
        yield Step(name, value, problem=f"its _mode_ is {mode}, expected default")
    elif key in keys:
        yield Step(name, value, keys.index(key), len(keys))
    elif any(key in _listed(value.get(argument)) for argument in _WRITTEN):
        yield Step(name, value, problem=f"it makes {key} of {', '.join(keys)}")


def step_keys(arguments: Mapping[str, Any], default: str) -> list[str]:
    """Return the keys that a transform is for.

    Args:
        arguments: The transform.
        default: Key to return for a transform that names none.

    Raises:
        UnknownValueError: A key can be computed by running code only.
    """
    keys = _plain(arguments.get("keys", default))
    return [str(key) for key in keys] if isinstance(keys, list | tuple) else [str(keys)]


def first_unknown(value: Any) -> Unknown | None:
    """Return the first part of a value, at any depth, that can be computed by running code only."""
    if isinstance(value, Unknown):
        return value
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return next((unknown for part in parts if (unknown := first_unknown(part)) is not None), None)


def _compose(value: Mapping[str, Any], key: str) -> Iterator[Step]:
    if value.get("lazy") is not None and _plain(value["lazy"]) is not False:
        yield Step("Compose", value, problem="lazy resampling is not supported")
    yield from steps(value.get("transforms", []), key)


def _plain(value: Any) -> Any:
    unknown = first_unknown(value)
    if unknown is not None:
        raise UnknownValueError(unknown.text)
    return value


def _listed(value: Any) -> list[str]:
    """Return the texts of an argument that may be one text or a list."""
    parts = value if isinstance(value, list | tuple) else [value]
    return [part for part in parts if isinstance(part, str)]
