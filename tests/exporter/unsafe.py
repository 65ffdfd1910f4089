"""Content that must not be loaded."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["Bomb"]


class Bomb:
    """An object that makes a folder, ``mark``, when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return os.mkdir, (str(self.mark),)
