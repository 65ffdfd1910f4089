"""Line charts as SVG, which HTML holds as text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["Marker", "Series", "line_chart"]

_WIDTH, _HEIGHT = 720, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 34, 46
# Of the legend, which has rows of its own between title and plot; a letter is about this wide.
_ROW, _LETTER, _SQUARE = 18, 6.6, 15
_COLOURS = ("#2a6fb0", "#d1662a", "#3a8f4d", "#8b4fa8", "#b03a54", "#6b6b6b")
_TICKS = 5


@dataclass(frozen=True)
class Series:
    """Values of one name.

    Attributes:
        name: Name in the legend.
        points: Pairs (x, y).
        joined: Whether a line joins them; else they are dots.
    """

    name: str
    points: Sequence[tuple[float, float]]
    joined: bool = True


@dataclass(frozen=True)
class Marker:
    """A vertical line with a text.

    Attributes:
        x: Where it is.
        text: What happened there.
    """

    x: float
    text: str


def line_chart(
    series: Sequence[Series], *, title: str, x_label: str, y_label: str, markers: Sequence[Marker] = ()
) -> str:
    """Draw series over one axis; an empty text if there is no value."""
    values = [point for each in series for point in each.points if all(map(math.isfinite, point))]
    if not values:
        return ""
    legend, rows = _legend([each.name for each in series])
    top, height = _TOP + rows * _ROW, _HEIGHT + rows * _ROW
    bottom = height - _BOTTOM
    low_x, high_x = _range([x for x, _ in values] + [marker.x for marker in markers])
    low_y, high_y = _range([y for _, y in values])

    def place(x: float, y: float) -> tuple[float, float]:
        across = _LEFT + (x - low_x) / (high_x - low_x) * (_WIDTH - _LEFT - _RIGHT)
        return round(across, 1), round(bottom - (y - low_y) / (high_y - low_y) * (bottom - top), 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-label="{escape(title)}" font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="18" font-size="14" font-weight="bold">{escape(title)}</text>',
        *legend,
    ]
    for y in _ticks(low_y, high_y):
        level = place(low_x, y)[1]
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{level}" y2="{level}" stroke="#dddddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{level + 4}" text-anchor="end">{y:.3g}</text>')
    for x in _ticks(low_x, high_x):
        across = place(x, low_y)[0]
        parts.append(f'<text x="{across}" y="{bottom + 16}" text-anchor="middle">{x:.3g}</text>')
    parts += _draw_markers([(place(marker.x, low_y)[0], marker.text) for marker in markers], top=top, bottom=bottom)
    for number, each in enumerate(series):
        parts += _draw(each, [place(x, y) for x, y in each.points], number)
    parts.append(f'<text x="{_WIDTH / 2}" y="{height - 8}" text-anchor="middle">{escape(x_label)}</text>')
    middle = (top + bottom) / 2
    parts.append(
        f'<text x="14" y="{middle}" text-anchor="middle" transform="rotate(-90 14 {middle})">{escape(y_label)}</text>'
    )
    return "".join([*parts, "</svg>"])


def _draw(series: Series, places: Sequence[tuple[float, float]], number: int) -> list[str]:
    colour = _COLOURS[number % len(_COLOURS)]
    parts = []
    if series.joined and len(places) > 1:
        path = " ".join(f"{x},{y}" for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
    parts += [f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>' for x, y in places]
    return parts


def _legend(names: Sequence[str]) -> tuple[list[str], int]:
    """Draw the legend under the title, in as many rows as the names need; return it and the number of rows."""
    parts: list[str] = []
    across, row = float(_LEFT), 1
    for number, name in enumerate(names):
        width = _SQUARE + _LETTER * len(name)
        if across > _LEFT and across + width > _WIDTH - _RIGHT:
            across, row = float(_LEFT), row + 1
        level = _TOP - 10 + _ROW * row
        colour = _COLOURS[number % len(_COLOURS)]
        parts.append(f'<rect x="{across:.1f}" y="{level - 9}" width="10" height="10" fill="{colour}"/>')
        parts.append(f'<text x="{across + _SQUARE:.1f}" y="{level}">{escape(name)}</text>')
        across += width + _SQUARE
    return parts, row


def _draw_markers(markers: Sequence[tuple[float, str]], *, top: float, bottom: float) -> list[str]:
    """Draw vertical lines with their texts: beside the line, inside the chart, and none over another."""
    parts: list[str] = []
    ends: list[float] = []
    for across, text in sorted(markers):
        width = _LETTER * len(text) + 6
        begin = across if across + width <= _WIDTH else across - width
        row = next((number for number, end in enumerate(ends) if end <= begin), len(ends))
        ends[row : row + 1] = [begin + width]
        parts.append(
            f'<line x1="{across}" x2="{across}" y1="{top}" y2="{bottom}" stroke="#888888" stroke-dasharray="4 3"/>'
            f'<text x="{begin + 3:.1f}" y="{top + 10 + 14 * row}" fill="#555555">{escape(text)}</text>'
        )
    return parts


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    if low == high:
        return low - 0.5, high + 0.5
    return low, high + 0.05 * (high - low)


def _ticks(low: float, high: float) -> list[float]:
    """Return round numbers within a range, about six of them."""
    rough = (high - low) / _TICKS
    unit = 10.0 ** math.floor(math.log10(rough))
    step = unit * next(factor for factor in (1, 2, 5, 10) if factor * unit >= rough * (1 - 1e-9))
    return [number * step for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
