"""The comments of the contract, for documents that are made from it."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from importlib import resources

__all__ = ["comment_of"]


def comment_of(name: str) -> str:
    """Return the comment of a message, a field, an enumeration or a call; empty without one.

    Args:
        name: Full name, such as ``sixpoint.v1.Click.point``.
    """
    return _comments().get(name, "")


@functools.cache
def _comments() -> Mapping[str, str]:
    content: dict[str, str] = json.loads(resources.files("sixpoint.v1").joinpath("comments.json").read_text())
    return content
