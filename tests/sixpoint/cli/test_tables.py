"""Tables: whole when piped, folded between words on a terminal."""

from __future__ import annotations

import io
import re
import sys

import pytest
from rich import box
from rich.table import Table

from sixpoint.cli.tables import print_table

TITLE = "A model with a title of many words that no terminal of eighty columns shows on one line"
NAME = "segmentation_of_everything_in_the_abdomen"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def printed(monkeypatch: pytest.MonkeyPatch, table: Table, *, columns: int | None, wide: bool = False) -> str:
    """What is printed on a terminal of so many columns; None: into a pipe."""
    stdout = Terminal() if columns else io.StringIO()
    monkeypatch.setenv("COLUMNS", str(columns or 20))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", stdout)
    print_table(table, wide=wide)
    return re.sub(r"\x1b\[[0-9;]*m", "", stdout.getvalue())


def models(frame: box.Box | None = None) -> Table:
    table = Table(box=frame, pad_edge=False)
    for heading in ("model", "version", "title"):
        table.add_column(heading)
    table.add_row(NAME, "12", TITLE)
    table.add_row("annotation", "5", "Short")
    return table


def test_nothing_is_wrapped_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = printed(monkeypatch, models(), columns=None).splitlines()
    assert [line.split() for line in lines] == [
        ["model", "version", "title"],
        [NAME, "12", *TITLE.split()],
        ["annotation", "5", "Short"],
    ]
    assert lines == [line.rstrip() for line in lines]


def test_colour_that_is_forced_does_not_wrap_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert any(TITLE in line for line in printed(monkeypatch, models(), columns=None).splitlines())


def test_wide_wraps_nothing_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = printed(monkeypatch, models(), columns=60, wide=True).splitlines()
    assert len(lines) == 3
    assert TITLE in lines[1]


@pytest.mark.parametrize("frame", [None, box.HEAVY_HEAD], ids=["no frame", "frame"])
@pytest.mark.parametrize("columns", [200, 120, 100, 80, 75])
def test_cells_fold_between_words(monkeypatch: pytest.MonkeyPatch, columns: int, frame: box.Box | None) -> None:
    text = printed(monkeypatch, models(frame), columns=columns)
    assert all(len(line) <= columns for line in text.splitlines())
    words = text.replace("│", " ").split()
    for word in (NAME, "annotation", *TITLE.split()):
        assert word in words


def test_words_that_do_not_fit_beside_each_other_are_printed_row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    text = printed(monkeypatch, models(), columns=50)
    lines = [line.rstrip() for line in text.splitlines()]
    assert lines[0] == f"model    {NAME}"
    assert lines[1] == "version  12"
    assert lines[-3:] == ["model    annotation", "version  5", "title    Short"]
    assert all(len(line) <= 50 for line in lines)
    assert all(word in text.split() for word in TITLE.split())


def test_a_word_longer_than_the_terminal_is_printed_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    assert any(NAME in line for line in printed(monkeypatch, models(), columns=30).splitlines())


def test_an_empty_table_shows_its_headings(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table("session", "model", box=None, pad_edge=False)
    assert printed(monkeypatch, table, columns=None) == "session  model\n"
