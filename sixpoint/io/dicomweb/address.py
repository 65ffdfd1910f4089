"""The address of a study or series on a DICOMweb server, as a person types it: ``dicomweb:URL#STUDY/SERIES``."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Self
from urllib.parse import urlsplit

from sixpoint.errors import InvalidArgument

__all__ = ["UID", "DicomwebAddress", "check_server_url", "image_name", "is_dicomweb"]

UID = re.compile(r"[0-9]{1,64}(?:\.[0-9]{1,64}){0,31}")
"""A UID of DICOM, of at most 64 characters; servers keep some that begin a part with 0, too."""

_SCHEME = "dicomweb:"
_EXPECTED = "expected dicomweb:https://server/dicom-web#STUDY/SERIES, with the UIDs of the study and of the series"


def is_dicomweb(source: object) -> bool:
    """Whether a path or text is an address on a DICOMweb server."""
    return isinstance(source, str | os.PathLike) and _text(source).startswith(_SCHEME)


def image_name(source: Path) -> str:
    """Return what outputs call an image: a file's name; for a series of a DICOMweb server no UIDs."""
    if not is_dicomweb(source):
        return source.name
    return f"a series of {urlsplit(DicomwebAddress.parse(source).url).hostname}"


@dataclass(frozen=True)
class DicomwebAddress:
    """What to read, and from where.

    Attributes:
        url: Base URL of the server.
        study: UID of the study; empty if none is named.
        series: UID of the series; empty if none is named.
    """

    url: str
    study: str = ""
    series: str = ""

    @classmethod
    def parse(cls, source: str | os.PathLike[str]) -> Self:
        """Read an address.

        Args:
            source: ``dicomweb:URL``, ``dicomweb:URL#STUDY`` or ``dicomweb:URL#STUDY/SERIES``. As a path, whose double
                slashes are one, too.

        Raises:
            InvalidArgument: It is none. The message has no UIDs.
        """
        url, _, place = _text(source).removeprefix(_SCHEME).partition("#")
        study, _, series = place.partition("/")
        if not all(not uid or (UID.fullmatch(uid) and len(uid) <= 64) for uid in (study, series)) or (
            series and not study
        ):
            raise InvalidArgument(f"behind the # of a DICOMweb address are no UIDs; {_EXPECTED}")
        return cls(check_server_url(re.sub(r"^(https?):/+", r"\1://", url), what="the address"), study, series)


def check_server_url(url: str, *, what: str) -> str:
    """Return the base URL of a server, without the last slash.

    Args:
        url: URL that somebody gave.
        what: What it is, for the error message.

    Raises:
        InvalidArgument: It is no plain URL of http or https.
    """
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidArgument(f"{what} is no URL of a DICOMweb server; {_EXPECTED.partition('#')[0]}")
    if parts.username is not None or parts.password is not None:
        raise InvalidArgument(
            f"{what} has a password in it, which lists of processes and logs would show; put user:password, or a "
            "token, into SIXPOINT_DICOMWEB_TOKEN, or into the file that SIXPOINT_DICOMWEB_TOKEN_FILE names"
        )
    if parts.query or parts.fragment:
        raise InvalidArgument(f"{what} has a query, which the address of a DICOMweb server has not; leave it out")
    return url.rstrip("/")


def _text(source: str | os.PathLike[str]) -> str:
    return source.as_posix() if isinstance(source, PurePath) else os.fspath(source)
