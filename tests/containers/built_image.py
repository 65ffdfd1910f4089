"""The gateway's image that the tests share, and what lies in it."""

from __future__ import annotations

import dataclasses
import functools
import os
import stat
from pathlib import Path

from tests.containers.engine import Engine

__all__ = ["IMAGE", "Built"]

IMAGE = "localhost/sixpoint-gateway"


@dataclasses.dataclass(frozen=True)
class Built:
    """An image that was built.

    Attributes:
        engine: Where it lies.
        context: What it was built of.
        base: Name of its base.
        root: Its files.
        base_root: Those of its base.
    """

    engine: Engine
    context: Path
    base: str
    root: Path
    base_root: Path

    @functools.cached_property
    def files(self) -> dict[str, os.stat_result]:
        """What lies in the image, but links, by path."""
        return _files(self.root)

    @functools.cached_property
    def base_files(self) -> dict[str, os.stat_result]:
        """What lies in its base."""
        return _files(self.base_root)


def _files(root: Path) -> dict[str, os.stat_result]:
    paths = {str(path.relative_to(root)): path.lstat() for path in root.rglob("*")}
    return {name: status for name, status in paths.items() if not stat.S_ISLNK(status.st_mode)}
