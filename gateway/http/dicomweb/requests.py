"""What may be asked of the DICOMweb server: paths, queries and headers of the standard, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sixpoint.errors import InvalidArgument, NotFound

__all__ = ["check_query", "read_path", "store_path"]

_UID = r"[0-9]+(?:\.[0-9]+)*"
_SHOWN = "metadata|rendered|thumbnail"
_STUDY, _SERIES = f"studies/{_UID}", f"series/{_UID}"
_INSTANCE = f"instances/{_UID}"
_FRAMES = "frames/[0-9]{1,6}(?:,[0-9]{1,6}){0,99}(?:/(?:rendered|thumbnail))?"
_BULK = r"(?:bulk|bulkdata)(?:/[0-9A-Za-z_-]{1,64}){1,32}"
_READ = re.compile(
    "studies|series|instances"
    f"|{_STUDY}(?:/(?:{_SHOWN}|series|instances))?"
    f"|{_STUDY}/{_SERIES}(?:/(?:{_SHOWN}|instances))?"
    f"|{_STUDY}/(?:{_SERIES}/)?{_INSTANCE}(?:/(?:{_SHOWN}|{_FRAMES}|{_BULK}))?"
)
_STORE = re.compile(f"studies(?:/{_UID})?")
# MONAI Label's proxy has the service before the path.
_SERVICES = ("qido/", "wado/", "stow/")
_MAX_PATH, _MAX_FIELDS, _MAX_VALUE = 2000, 64, 512
_FIELD = re.compile(r"[0-9A-Za-z.]{1,128}")


def read_path(path: str) -> str:
    """Return the path below the server's base URL that a viewer reads.

    Args:
        path: Path of the request, within the proxy.

    Raises:
        NotFound: It is none that the standard has for reading.
    """
    return _checked(path, _READ)


def store_path(path: str) -> str:
    """Return the path below the server's base URL where a viewer stores.

    Args:
        path: Path of the request, within the proxy.

    Raises:
        NotFound: It is none that the standard has for storing.
    """
    return _checked(path, _STORE)


def check_query(fields: Sequence[tuple[str, str]]) -> Sequence[tuple[str, str]]:
    """Return the query of a request.

    Raises:
        InvalidArgument: It is none that the standard has.
    """
    if len(fields) > _MAX_FIELDS:
        raise InvalidArgument(f"the query has {len(fields)} fields; expected at most {_MAX_FIELDS}")
    for name, value in fields:
        if not _FIELD.fullmatch(name) or len(value) > _MAX_VALUE or not value.isprintable():
            raise InvalidArgument("the query has what no DICOMweb server understands; expected attributes and values")
    return fields


def _checked(path: str, pattern: re.Pattern[str]) -> str:
    service = next((each for each in _SERVICES if path.startswith(each)), "")
    path = path.removeprefix(service).removesuffix("/")
    if len(path) > _MAX_PATH or not pattern.fullmatch(path):
        raise NotFound(
            "this is no address of DICOMweb that is passed on here; expected studies, series, instances, or what the "
            "standard has below them"
        )
    return path
