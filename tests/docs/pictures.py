"""Pictures of the tutorials: what their own code wrote while it ran."""

from __future__ import annotations

import os
import re
from pathlib import Path

from PIL import Image

__all__ = ["PICTURES", "keep_pictures", "shown_pictures"]

PICTURES = Path(os.environ["TUTORIAL_PICTURES"]).resolve() if "TUTORIAL_PICTURES" in os.environ else None
"""Folder for the pictures; None for nowhere. With it, trainings take as long as the pages say."""

# Greys, and the colours of outlines and points, which are rare.
_GREYS = 60
_COLOURS = ((255, 196, 0), (0, 230, 255), (255, 64, 64), (70, 220, 90))
_CHART = re.compile(r'<svg [^>]*aria-label="Dice on held-out cases".*?</svg>', re.DOTALL)


def shown_pictures(page: Path) -> list[str]:
    """Names of the pictures that a page shows."""
    return re.findall(r"!\[[^\]]*\]\(([\w.-]+)\)", page.read_text())


def keep_pictures(page: Path, written: Path) -> None:
    """Check that the code of a tutorial wrote what its page shows, and keep it if ``TUTORIAL_PICTURES`` is set.

    Args:
        page: The page.
        written: Folder in which its code ran.
    """
    for name in shown_pictures(page):
        if name == "learning.svg":
            # A trial of one step may fail, and then the report has no chart.
            chart = _CHART.search((written / "report.html").read_text())
            if PICTURES:
                assert chart, "nothing was trained"
                (PICTURES / name).write_text(chart[0])
            continue
        with Image.open(written / name) as picture:
            if PICTURES:
                _in_few_colours(picture).save(PICTURES / name, optimize=True)


def _in_few_colours(picture: Image.Image) -> Image.Image:
    palette = Image.new("P", (1, 1))
    greys = [level * 255 // (_GREYS - 1) for level in range(_GREYS) for _ in range(3)]
    palette.putpalette([*greys, *(value for colour in _COLOURS for value in colour)])
    return picture.convert("RGB").quantize(palette=palette, dither=Image.Dither.NONE)
