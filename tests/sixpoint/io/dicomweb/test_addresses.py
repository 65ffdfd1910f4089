"""Addresses of DICOMweb servers, and what they are told about who asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from sixpoint.errors import InvalidArgument
from sixpoint.io.dicomweb import DicomwebAddress, authorization, authorization_from_environment, is_dicomweb


@pytest.mark.parametrize("kind", [str, Path])
def test_an_address_is_read(kind: type[str] | type[Path]) -> None:
    text = kind("dicomweb:https://pacs.example:8443/dicom-web/#1.2.3/1.2.3.4")
    assert is_dicomweb(text)
    assert DicomwebAddress.parse(text) == DicomwebAddress("https://pacs.example:8443/dicom-web", "1.2.3", "1.2.3.4")
    assert DicomwebAddress.parse(kind("dicomweb:http://pacs/a#1.2")) == DicomwebAddress("http://pacs/a", "1.2")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dicomweb:", "no URL of a DICOMweb server"),
        ("dicomweb:ftp://pacs/a", "no URL of a DICOMweb server"),
        ("dicomweb:https://[pacs/a", "no URL of a DICOMweb server"),
        ("dicomweb:https://pacs/a?x=1#1.2", "has a query"),
        ("dicomweb:https://pacs/a#4711", ""),
        ("dicomweb:https://pacs/a#Mustermann", "are no UIDs"),
        ("dicomweb:https://pacs/a#1.2/../3", "are no UIDs"),
        ("dicomweb:https://pacs/a#/1.2", "are no UIDs"),
        ("dicomweb:https://user:secret@pacs/a#1.2", "SIXPOINT_DICOMWEB_TOKEN"),
    ],
)
def test_what_is_no_address_is_refused_in_words(text: str, words: str) -> None:
    if not words:
        DicomwebAddress.parse(text)
        return
    with pytest.raises(InvalidArgument, match=words) as failure:
        DicomwebAddress.parse(text)
    assert "secret" not in failure.value.message
    assert "Mustermann" not in failure.value.message


def test_secrets_become_headers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert authorization("") == authorization_from_environment() == ""
    assert authorization("abc") == "Bearer abc"
    assert authorization("user:pass") == "Basic dXNlcjpwYXNz"
    with pytest.raises(InvalidArgument) as failure:
        authorization("two words")
    assert "words" not in failure.value.message
    (tmp_path / "token").write_text("user:pass\n")
    monkeypatch.setenv("SIXPOINT_DICOMWEB_TOKEN_FILE", str(tmp_path / "token"))
    assert authorization_from_environment() == "Basic dXNlcjpwYXNz"
