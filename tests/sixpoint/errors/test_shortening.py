from __future__ import annotations

import pytest

from sixpoint.errors.shortening import quoted, shorten


@pytest.mark.parametrize("length", [5, 6, 7, 80])
def test_a_long_text_keeps_both_ends(length: int) -> None:
    text = "".join(map(str, range(100)))
    short = shorten(text, length)
    begin, _, end = short.partition("...")
    assert len(short) == length
    assert begin
    assert end
    assert text.startswith(begin)
    assert text.endswith(end)
    assert shorten(text[:length], length) == text[:length]


def test_a_name_is_quoted_in_one_short_line() -> None:
    assert quoted("liver") == "'liver'"
    assert quoted("a\n" * 5000).isprintable()
    assert len(quoted("a\n" * 5000)) < 200
