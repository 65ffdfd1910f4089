"""Code blocks of README and docs, and the comparison of a command's output with what a page says."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.paths import ROOT

_FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_MARKER = re.compile(r"<!-- not run: (.+?) -->\s*\Z")
_SESSION_ID = re.compile(r"(?<![\w-])[a-hjkmnp-z][a-hjkmnp-z2-9]{25}(?![\w-])")
# What depends on the machine, the time, or the installed packages.
_VARYING = re.compile(
    "|".join(
        (
            r"\.\.\.",
            r"(?<=terior: )[\d.]+ ml",
            r"\d+(?:\.\d+)?(?= (?:ms|s|ml|bytes|MiB|KiB)\b)",
            r"(?<=Dice )\d\.\d+",
            r"(?<=(?:port|gRPC) )[\d.]+",
            r"(?<=sixpoint )[\d.]+",
            r"(?<=Python )[\d.]+",
            r"\d{4}-\d\d-\d\d",
        )
    )
)


@dataclass(frozen=True)
class Block:
    """One fenced block of a page.

    Attributes:
        page: Path of the page, relative to the repository.
        line: Line of the page on which the block's text starts, from 1.
        language: Word behind the fence: ``python``, ``console``, ...
        text: Lines of the block.
        not_run: Reason why the block is not executed, from its marker; empty for one that is.
    """

    page: str
    line: int
    language: str
    text: str
    not_run: str

    @property
    def place(self) -> str:
        """Page and line, as editors understand it."""
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Command:
    """One command of a console block, and the output that the page shows for it."""

    text: str
    output: str


def pages() -> list[Path]:
    """README, and every Markdown file of docs/ that people wrote."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def read_blocks(page: Path) -> list[Block]:
    """Every fenced block of a page, in order."""
    markdown = page.read_text()
    name = page.relative_to(ROOT).as_posix()
    blocks = []
    for match in _FENCE.finditer(markdown):
        marker = _MARKER.search(markdown[: match.start()])
        line = markdown.count("\n", 0, match.start(3)) + 1
        blocks.append(Block(name, line, match[2], match[3], marker[1] if marker else ""))
    return blocks


def commands(block: Block) -> Iterator[Command]:
    """The commands of a console block, each with the lines up to the next one."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield Command(command.partition("  # ")[0].strip(), output)


def run_command(text: str, output: str, ids: dict[str, str]) -> str:
    """Run a command of a page in a shell; what it printed, if the page says otherwise.

    Args:
        text: The command.
        output: What the page shows; a command may fail only if that begins with ``error``.
        ids: As in ``difference``.
    """
    for name, real in ids.items():
        if real.startswith("-") and name in text:
            # Otherwise the command line takes the id for an option.
            text, real = f"{text.replace(name, '')} -- {real}", ""
        text = text.replace(name, real)
    done = subprocess.run(
        ["bash", "-c", text], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=600
    )
    failed = done.returncode and not output.startswith("error")
    return f"$ {text}\n{done.stdout}" if failed else difference(output, done.stdout, ids)


def difference(expected: str, actual: str, ids: dict[str, str]) -> str:
    """Compare an output with what a page shows; empty if they agree.

    A line ``...`` stands for any lines, ``...`` within a line for any text; times, sizes and versions may differ.
    White space at the ends of lines, and how columns are padded, do not count.

    Args:
        expected: Text of the page.
        actual: Output of the command.
        ids: Ids of sessions on the page, and those that the gateway really gave; ids seen for the first time are added.
    """
    if expected.strip():
        pattern, groups = _pattern(expected)
        match = re.fullmatch(pattern, _squeezed(actual))
        if match is None:
            return f"expected:\n{expected}\nprinted:\n{actual}"
        ids.update({name: match[group] for group, name in groups.items()})
    return ""


def _squeezed(text: str) -> str:
    lines = [re.sub(r" {2,}", "  ", line.strip()) for line in text.strip().splitlines()]
    return "".join(f"{line}\n" for line in lines if line)


def _pattern(expected: str) -> tuple[str, dict[str, str]]:
    """A regular expression for an output, and the id of the page that each of its groups stands for."""
    groups: dict[str, str] = {}
    lines = []
    for line in _squeezed(expected).splitlines():
        if line == "...":
            lines.append(r"(?:.*\n)*?")
            continue
        # Every second part is one that varies.
        parts = re.split(f"({_SESSION_ID.pattern}|{_VARYING.pattern})", line)
        lines.append("".join(_vary(part, groups) if i % 2 else re.escape(part) for i, part in enumerate(parts)) + r"\n")
    return "".join(lines), {group: name for name, group in groups.items()}


def _vary(part: str, groups: dict[str, str]) -> str:
    # The tests' image for the segmentation model is a crop of the phantom, in which the model sees little.
    if part == "..." or part.endswith(" ml"):
        return ".*"
    if not _SESSION_ID.fullmatch(part):
        return r"[\d.-]+"
    if part in groups:
        return f"(?P={groups[part]})"
    groups[part] = f"id{len(groups)}"
    return rf"(?P<{groups[part]}>[a-z][a-z0-9]{{25}})"
