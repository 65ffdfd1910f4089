"""Find the transforms of a config, also where they are not under the name that MONAI's bundles use."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from exporter.sources.bundle.data.config import Config
from exporter.sources.bundle.data.transforms import steps

__all__ = ["AFTER", "BEFORE", "Chain", "find_chain"]

BEFORE = frozenset(["LoadImage", "Orientation", "Spacing"])
"""Transforms, one of which every preprocessing has."""
AFTER = frozenset(["Activations", "AsDiscrete", "Invert"])
"""Transforms, one of which every postprocessing has."""
_USUAL = ("preprocessing", "postprocessing")


@dataclass(frozen=True)
class Chain:
    """Transforms of a config.

    Attributes:
        value: The resolved list of transforms, or Compose; None if there is none.
        note: Where they were found, if not under the usual name.
        problem: Why none was found; empty if there is one.
    """

    value: Any = None
    note: str = ""
    problem: str = ""


def find_chain(config: Config, name: str, *, key: str, marks: Collection[str]) -> Chain:
    """Find a chain of transforms.

    Args:
        config: The bundle's config.
        name: Its usual name: ``preprocessing`` or ``postprocessing``.
        key: Name of the image or the output in it.
        marks: Transforms by which a chain under another name is recognised.
    """
    if config.data.get(name) is not None:
        return Chain(config.get(name))
    others = {
        other: json.dumps(value, default=str)
        for other, value in config.data.items()
        if isinstance(value, dict | list) and other not in _USUAL and _has_any(config.get(other), key, marks)
    }
    whole = [other for other in others if not any(f"@{other}" in text for text in others.values())]
    if len(whole) == 1:
        return Chain(config.get(whole[0]), note=f"{name}: the config has none, so {whole[0]} is read in its place")
    present = f"transforms under {', '.join(whole)}" if whole else f"{', '.join(map(str, config.data)) or 'nothing'}"
    return Chain(problem=f"the config has no {name}; it has {present}")


def _has_any(value: Any, key: str, marks: Collection[str]) -> bool:
    """Whether a value of the config is a list or Compose of transforms, one of which is among ``marks``."""
    parts = value.get("transforms") if isinstance(value, dict) else value
    if not isinstance(parts, list) or not all(isinstance(part, dict) and "_target_" in part for part in parts):
        return False
    return any(step.name in marks for step in steps(value, key))
