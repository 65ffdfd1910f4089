"""Print tables: whole when piped, folded between words on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, ConsoleDimensions
from rich.measure import Measurement
from rich.table import Table

__all__ = ["print_table"]

_UNBOUNDED = 1_000_000


def print_table(table: Table, *, wide: bool = False) -> None:
    """Print a table to stdout, with every word in one piece.

    Where stdout is no terminal, no cell is wrapped. On a terminal, cells fold between words to fit. A table whose
    longest words do not fit side by side is printed row by row, each cell beside its heading.

    Args:
        table: Table to print; the widths of its columns are set.
        wide: Whether to wrap no cell on a terminal either.
    """
    console = Console(highlight=False)
    terminal = console.file.isatty()
    columns = [_measure(console, table, number) for number in range(len(table.columns))]
    natural = _total(console, table)
    if terminal and not wide and natural > console.width:
        frame = natural - sum(column.maximum for column in columns)
        if frame + sum(column.minimum for column in columns) > console.width and table.show_header:
            print_table(_row_by_row(table))
            return
        for column, width in zip(table.columns, _widths(columns, console.width - frame), strict=True):
            column.width = width
        natural = _total(console, table)
    # A word that is longer than a line is left to the terminal: it can still be selected and copied in one piece.
    console.size = ConsoleDimensions(max(natural, console.width if terminal else 1), console.height)
    with console.capture() as captured:
        console.print(table)
    text = captured.get()
    console.file.write(text if terminal else "".join(f"{line.rstrip()}\n" for line in text.splitlines()))
    console.file.flush()


def _measure(console: Console, table: Table, number: int) -> Measurement:
    """The widths of a column: its longest word, and its longest line."""
    column = table.columns[number]
    cells = [*column.cells, *([column.header] if table.show_header else [])]
    options = console.options.update(width=_UNBOUNDED)
    measured = [console.measure(cell, options=options) for cell in cells]
    longest = max((cell.maximum for cell in measured), default=0)
    word = longest if column.no_wrap else max((cell.minimum for cell in measured), default=0)
    return Measurement(word, longest)


def _total(console: Console, table: Table) -> int:
    """The width of a table that wraps no cell, with its frame."""
    return console.measure(table, options=console.options.update(width=_UNBOUNDED)).maximum


def _widths(columns: Sequence[Measurement], room: int) -> list[int]:
    """Give every column its longest word, then share the rest of the room, first among the narrow ones."""
    widths = [column.minimum for column in columns]
    spare = max(room - sum(widths), 0)
    wanted = sorted(range(len(columns)), key=lambda number: columns[number].span)
    for done, number in enumerate(wanted):
        extra = min(columns[number].span, spare // (len(wanted) - done))
        widths[number] += extra
        spare -= extra
    return widths


def _row_by_row(table: Table) -> Table:
    """The same cells as a table of two columns, headings and values, with a line between the rows."""
    rows = Table(title=table.title, show_header=False, box=None, pad_edge=False)
    rows.add_column(style="bold", no_wrap=True)
    rows.add_column()
    headings = [column.header for column in table.columns]
    for number, cells in enumerate(zip(*(column.cells for column in table.columns), strict=True)):
        if number:
            rows.add_row("", "")
        for heading, cell in zip(headings, cells, strict=True):
            rows.add_row(heading, cell)
    return rows
