"""What made the DICOM objects, and texts as DICOM takes them."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

__all__ = ["MANUFACTURER", "software_version", "text"]

MANUFACTURER = "sixpoint"
"""Manufacturer and model of what made the objects."""


def software_version() -> str:
    """Version of this package."""
    try:
        return version("sixpoint")
    except PackageNotFoundError:
        return "unknown"


def text(value: str, length: int = 64) -> str:
    r"""A text as a value of DICOM: without control characters and backslashes, which separate values.

    Args:
        value: Text of a person.
        length: Characters that the attribute takes; what is longer is cut.
    """
    printable = "".join(letter if letter.isprintable() and letter != "\\" else " " for letter in value)
    return " ".join(printable.split())[:length].strip()
