"""The record of a loop: its decisions as JSON lines, each of which is written whole or not at all."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic import ValidationError

from sixpoint.errors import DatasetError
from sixpoint.loop.decisions import Decision

__all__ = ["DECISIONS", "FileRecord", "Record", "append_decision", "read_decisions"]

DECISIONS = "decisions.jsonl"
"""Name of the file within the loop's folder."""


def read_decisions(folder: Path) -> list[Decision]:
    """Read the decisions of a loop in their order; none if there is no record.

    A last line without its end, which a kill leaves, is no decision.

    Raises:
        DatasetError: A line is damaged.
    """
    path = folder / DECISIONS
    if not path.is_file():
        return []
    decisions = []
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), 1):
        if not line.endswith(b"\n"):
            continue
        try:
            decisions.append(Decision.model_validate_json(line))
        except ValidationError:
            raise DatasetError(
                f"line {number} of {path} is damaged: correct it, or move the file away to begin a new record"
            ) from None
    return decisions


def append_decision(folder: Path, decision: Decision) -> None:
    """Append a decision to the record, synced to disk."""
    path = folder / DECISIONS
    content = path.read_bytes() if path.is_file() else b""
    whole = content[: content.rfind(b"\n") + 1]
    with path.open("r+b" if path.is_file() else "xb") as file:
        file.truncate(len(whole))
        file.seek(len(whole))
        file.write(decision.model_dump_json().encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


class Record(Protocol):
    """The decisions of a loop, wherever they are kept."""

    def read(self) -> list[Decision]:
        """The decisions in their order."""
        ...

    def append(self, decision: Decision) -> None:
        """Add a decision: whole, or not at all."""
        ...


@dataclass(frozen=True)
class FileRecord:
    """A :class:`Record` in a file.

    Attributes:
        folder: Folder of the loop.
    """

    folder: Path

    def read(self) -> list[Decision]:
        """The decisions in their order: see :func:`read_decisions`."""
        return read_decisions(self.folder)

    def append(self, decision: Decision) -> None:
        """Add a decision: see :func:`append_decision`."""
        append_decision(self.folder, decision)
