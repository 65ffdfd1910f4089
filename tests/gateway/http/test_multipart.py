"""Forms, in whatever pieces they arrive."""

from __future__ import annotations

import itertools

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.requests.multipart import FormParser, PartBegin, PartData, boundary_of
from sixpoint.errors import InvalidArgument

Parts = list[tuple[str, str | None, bytes]]


def parse(body: bytes, boundary: bytes, cuts: list[int]) -> tuple[Parts, bool]:
    parser, parts = FormParser(boundary), Parts()
    places = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    for begin, end in itertools.pairwise(places):
        for event in parser.feed(body[begin:end]):
            if isinstance(event, PartBegin):
                parts.append((event.name, event.filename, b""))
            else:
                assert isinstance(event, PartData)
                name, filename, content = parts[-1]
                parts[-1] = name, filename, content + event.data
    return parts, parser.ended


@given(
    contents=st.lists(
        st.binary(max_size=40) | st.sampled_from([b"\r\n--", b"\r\n", b"--", b"\r\n--b", b"\r\n--bx"]), min_size=1
    ),
    cuts=st.lists(st.integers(0, 5000), max_size=12),
)
def test_a_form_is_split_as_its_client_joined_it(contents: list[bytes], cuts: list[int]) -> None:
    files = [("files", (f"image {n}.nrrd", content)) for n, content in enumerate(contents)]
    request = httpx.Request("PUT", "http://x", data={"params": "{}"}, files=files)
    boundary = boundary_of(request.headers["content-type"])
    request.read()
    parts, ended = parse(request.content, boundary, cuts)
    expected: Parts = [("params", None, b"{}"), *(("files", name, content) for _, (name, content) in files)]
    assert (parts, ended) == (expected, True)


@pytest.mark.parametrize(
    "body",
    [
        b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--",
        b"--b\r\n" + b"x" * 9000,
        b"--bjunk\r\n",
        b"--b\r\n" + b"a: b\r\n" * 9,
        b"text before the form\r\n--b--",
    ],
)
def test_damaged_forms_are_refused(body: bytes) -> None:
    with pytest.raises(InvalidArgument, match="damaged"):
        parse(body, b"b", [])


def test_the_forms_of_aiaas_client_are_read() -> None:
    # Its boundary has a character that RFC 2046 does not allow, and an empty line follows the last one.
    boundary = boundary_of("multipart/form-data; boundary=----------lImIt_of_THE_fIle_eW_$")
    part = b'Content-Disposition: form-data; name="params"\r\n\r\n{}\r\n'
    for before, after in ((b"", b"\r\n\r\n"), (b"\r\n", b"\r\nafter")):
        body = before + b"--" + boundary + b"\r\n" + part + b"--" + boundary + b"--" + after
        assert parse(body, boundary, list(range(0, len(body), 3))) == ([("params", None, b"{}")], True)


def test_names_come_in_quotes_or_not() -> None:
    for text, expected in (
        (b'name="a"; filename="C:\\Erika.nii"', ("a", "Erika.nii", b"x")),
        (b"name=a; filename=b.nii", ("a", "b.nii", b"x")),
        ('name="ä"; filename="Müller \\"x\\".nii"'.encode(), ("ä", 'Müller "x".nii', b"x")),
    ):
        body = b"--b\r\ncontent-DISPOSITION: form-data; " + text + b"\r\nX-Other: y\r\n\r\nx\r\n--b--"
        assert parse(body, b"b", []) == ([expected], True)


def test_what_ends_early_has_not_ended() -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\ncontent\r\n-'
    [(name, _, content)], ended = parse(body, b"b", [3])
    assert (name, b"content".startswith(content), ended) == ("a", True, False)


@pytest.mark.parametrize(
    "header", ["", "text/plain", "multipart/form-data", f"multipart/form-data; boundary={'x' * 71}"]
)
def test_what_is_no_form_is_refused(header: str) -> None:
    with pytest.raises(InvalidArgument, match="boundary"):
        boundary_of(header)
