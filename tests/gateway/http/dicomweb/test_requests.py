"""What is passed on to the PACS, whatever is asked; and addresses replaced, whatever the pieces."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.http.dicomweb.replacing import Replacing
from gateway.http.dicomweb.requests import check_query, read_path, store_path
from sixpoint.errors import InvalidArgument, NotFound

PART = st.sampled_from(
    [
        "studies",
        "series",
        "instances",
        "1.2.3",
        "frames",
        "1,2",
        "bulk",
        "00420011",
        "metadata",
        "..",
        ".",
        "",
        "wado",
        "%2e",
    ]
) | st.text(max_size=4)
SAFE = re.compile(r"(?:[0-9A-Za-z_,-]+(?:\.[0-9]+)*)(?:/[0-9A-Za-z_,-]+(?:\.[0-9]+)*)*")


@settings(max_examples=1000, deadline=None)
@given(st.lists(PART, max_size=9).map("/".join))
@example("studies/1.2.3/series/1.2/instances/1.2/frames/1,2")
@example("wado/studies/1/instances/1/bulk/00420011/1")
def test_what_is_passed_on_leads_nowhere_else(path: str) -> None:
    for check in (read_path, store_path):
        try:
            passed = check(path)
        except NotFound:
            continue
        assert SAFE.fullmatch(passed), passed
        assert passed.split("/")[0] in ("studies", "series", "instances")


@settings(max_examples=500, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), max_size=4))
def test_queries_are_attributes_and_values(fields: list[tuple[str, str]]) -> None:
    try:
        passed = check_query(fields)
    except InvalidArgument:
        return
    assert all(name.isalnum() or "." in name for name, _ in passed)
    assert all(value.isprintable() for _, value in passed)


@settings(max_examples=500, deadline=None)
@given(
    st.lists(st.sampled_from([b"http://pacs/d", b"http://", b"p", b"h", b"pacs/d", b'"x"', b"http://pacs/"])), st.data()
)
def test_addresses_are_replaced_whatever_the_pieces(parts: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    replacing = Replacing("http://pacs/d", "https://gateway/proxy")
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    replaced = b"".join(replacing.feed(piece) for piece in pieces) + replacing.end()
    assert replaced == whole.replace(b"http://pacs/d", b"https://gateway/proxy")


@pytest.mark.parametrize(
    "path",
    [
        "studies",
        "qido/studies",
        "studies/1.2/series",
        "wado/studies/1.2/series/1.3/instances/1.4/frames/1",
        "studies/1.2/series/1.3/instances/1.4/rendered",
        "wado/studies/1.2/series/1.3/thumbnail",
        "wado/studies/1.2/instances/1.4/bulkdata/00420011",
        "series",
        "qido/instances",
        "studies/1.2/metadata",
    ],
)
def test_what_viewers_read_is_passed_on(path: str) -> None:
    assert read_path(path) == path.removeprefix("qido/").removeprefix("wado/")
