"""Prompts and helpers for tests of the command line."""

from __future__ import annotations

import re
from collections.abc import Callable

__all__ = ["BOX", "SIX_POINTS", "Run", "plain"]

Run = Callable[..., tuple[int, str, str]]
"""Runs ``sixpoint`` with arguments, and returns exit code, stdout and stderr."""

SIX_POINTS = "5,18,16 35,18,16 20,5,16 20,31,16 20,18,4 20,18,28"
BOX = "5,5,4 35,31,28"


def plain(text: str) -> str:
    """The words of an output: no colours, no frames, no line breaks."""
    return " ".join(re.sub(r"\x1b\[[0-9;]*m|[│╭╮╰╯─]", " ", text).split())
