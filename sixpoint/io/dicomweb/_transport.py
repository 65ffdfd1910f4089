"""The HTTP session of a DICOMweb server: bounded, without redirects, and silent about what it asks for."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests

from sixpoint.errors import (
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    SixpointError,
    Unauthenticated,
    Unavailable,
)

__all__ = ["BoundedSession", "asking"]

# Their lines have UIDs, at any level.
_LOGGERS = ("dicomweb_client.web", "urllib3.connectionpool", "pydicom")


class BoundedSession(requests.Session):
    """A session whose answers together are limited.

    Args:
        max_bytes: Limit of the bytes of all answers.
        authorization: Header Authorization; empty for that of ``~/.netrc``, if it has one for the server.
        ca_file: File with the authorities of the server's certificate; empty for those of the environment.
    """

    def __init__(self, *, max_bytes: int, authorization: str = "", ca_file: str = "") -> None:
        super().__init__()
        self._left = self._limit = max_bytes
        # A redirect may lead to another server, which would be sent what was meant for this one.
        self.max_redirects = 0
        self.headers["Accept-Encoding"] = "identity"
        if authorization:
            self.auth = lambda request: _authorize(request, authorization)
        if ca_file:
            self.verify = ca_file

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send a request; its answer is counted while it is read."""
        response = super().send(request, **{**options, "stream": True})
        pieces = response.iter_content

        def counted(*args: Any, **keywords: Any) -> Iterator[bytes]:
            for piece in pieces(*args, **keywords):
                self._left -= len(piece)
                if self._left < 0:
                    response.close()
                    raise ResourceExhausted(
                        f"the DICOMweb server sends more than {self._limit >> 20} MiB; the series is too large to be "
                        "read here"
                    )
                yield piece

        response.iter_content = counted  # type: ignore[method-assign]  # what everything else reads by
        return response


def _authorize(request: requests.PreparedRequest, authorization: str) -> requests.PreparedRequest:
    request.headers["Authorization"] = authorization
    return request


@contextmanager
def asking(host: str) -> Iterator[None]:
    """Ask a server in the block: what fails becomes an error of ours, without UIDs and credentials.

    Args:
        host: Name of the server, for error messages.

    Raises:
        SixpointError: The server cannot be reached, refuses, or answers what is no DICOMweb.
    """
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [logger.disabled for logger in loggers]
    try:
        for logger in loggers:
            logger.disabled = True
        yield
    except SixpointError:
        raise
    except requests.HTTPError as error:
        raise _refusal(host, error.response.status_code if error.response is not None else 0) from None
    except requests.TooManyRedirects:
        raise InvalidArgument(
            f"the DICOMweb server {host} says that it is at another address; ask there: redirects are not followed"
        ) from None
    except requests.exceptions.SSLError:
        raise Unavailable(
            f"the certificate of the DICOMweb server {host} is not trusted; name its authority's file in "
            "REQUESTS_CA_BUNDLE"
        ) from None
    except requests.Timeout:
        raise DeadlineExceeded(f"the DICOMweb server {host} did not answer in time; try again") from None
    except (requests.RequestException, OSError):
        raise Unavailable(
            f"the DICOMweb server {host} cannot be reached, or broke off; check its address, and whether it runs"
        ) from None
    except (MemoryError, ImportError):
        raise
    except Exception as error:
        # Nothing documents what is raised for answers that are no DICOMweb.
        raise InvalidArgument(
            f"the server {host} answers what is no DICOMweb ({type(error).__name__}); check the address: that of "
            "Orthanc ends in /dicom-web"
        ) from None
    finally:
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled


def _refusal(host: str, code: int) -> SixpointError:
    advice = (
        "give a token, or user:password, in SIXPOINT_DICOMWEB_TOKEN, or in the file that SIXPOINT_DICOMWEB_TOKEN_FILE "
        "names"
    )
    if code == 401:
        return Unauthenticated(f"the DICOMweb server {host} asks who calls; {advice}")
    if code == 403:
        return PermissionDenied(f"the DICOMweb server {host} does not allow it; {advice}")
    if code in (404, 410):
        return NotFound(
            f"the DICOMweb server {host} does not have what is asked for; check the UIDs of study and series, and the "
            "address: that of Orthanc ends in /dicom-web"
        )
    if code in (408, 429) or code >= 500:
        return Unavailable(f"the DICOMweb server {host} could not answer (HTTP {code}); try again, or read its log")
    return InvalidArgument(f"the DICOMweb server {host} refuses the request (HTTP {code}); read its log")
