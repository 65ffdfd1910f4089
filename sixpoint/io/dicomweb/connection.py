"""Connect to a DICOMweb server, with the credentials of the environment, where the packages for it are installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sixpoint.errors import FailedPrecondition
from sixpoint.io.dicomweb.credentials import authorization_from_environment

if TYPE_CHECKING:
    from sixpoint.io.dicomweb.server import DicomwebServer

__all__ = ["connect"]


def connect(url: str) -> DicomwebServer:
    """Return a DICOMweb server, with the credentials of the environment.

    Raises:
        FailedPrecondition: A package that it needs is not installed.
        InvalidArgument: The credentials cannot be used.
    """
    try:
        from sixpoint.io.dicomweb.server import DicomwebServer
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("sixpoint"):
            raise
        raise FailedPrecondition(
            f'DICOMweb needs {error.name}, which is not installed: in a checkout of sixpoint, pip install ".[dicomweb]"'
        ) from None
    return DicomwebServer(url, authorization=authorization_from_environment())
