"""Owners' names as metadata, and back."""

from __future__ import annotations

import pytest

from sixpoint.errors import InvalidArgument
from sixpoint.protocol import OWNER_KEY, owner_from_metadata, owner_to_metadata


@pytest.mark.parametrize(
    "name", ["Müller", "山田　太郎", "Ward 7", "50%", "a%20b", "M%C3%BCller", "👩‍⚕️", "x" * 200, ""]
)
def test_a_name_comes_back_as_it_was(name: str) -> None:
    assert owner_from_metadata(owner_to_metadata(name)) == name


def test_an_ascii_name_travels_as_it_always_did() -> None:
    assert owner_to_metadata("a%20b") == (("sixpoint-owner", "a%20b"),)
    assert owner_to_metadata("") == ()


@pytest.mark.parametrize("name", ["a\nb", "a\x00b", "\x7f", "a\u2028b", "M\udcfcller", "x" * 201])
def test_what_no_name_has_is_refused_and_said(name: str) -> None:
    with pytest.raises(InvalidArgument, match="an owner's name has"):
        owner_to_metadata(name)


@pytest.mark.parametrize(
    "metadata",
    [
        [(OWNER_KEY, "anna"), (OWNER_KEY, "bert")],
        [(OWNER_KEY, "anna"), (f"{OWNER_KEY}-bin", b"bert")],
        [(f"{OWNER_KEY}-bin", b"M\xfcller")],
        [(f"{OWNER_KEY}-bin", b"a\nb")],
        [(f"{OWNER_KEY}-bin", ("\u00fc" * 201).encode())],
    ],
)
def test_a_call_that_names_its_owner_wrongly_is_refused(metadata: list[tuple[str, str | bytes]]) -> None:
    with pytest.raises(InvalidArgument, match=OWNER_KEY):
        owner_from_metadata([("user-agent", "x"), *metadata])
