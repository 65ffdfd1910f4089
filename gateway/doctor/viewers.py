"""Checks of what viewers are given: the DICOMweb server, and OHIF."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from importlib.util import find_spec

from gateway.from_settings import pacs_access
from gateway.settings import Settings
from sixpoint.cli.doctor.connection import Finding
from sixpoint.errors import InvalidArgument

__all__ = ["check_viewers"]

_TIMEOUT_S = 5.0
_READERS = ("SimpleITK", "dicomweb_client", "pydicom")
_PAGE_BYTES = 2**20
_ADVICE = "Look at SIXPOINT_DICOMWEB_URL: that of Orthanc ends in /dicom-web."


def check_viewers(settings: Settings) -> Iterator[Finding]:
    """Check the DICOMweb server and the folder of OHIF, as far as they are set."""
    if settings.dicomweb_url:
        yield _pacs(settings)
        missing = [name for name in _READERS if find_spec(name) is None]
        if missing:
            seen = f"{', '.join(missing)} not installed: viewers reach the server, but its series are no images here"
            yield Finding("DICOMweb", True, seen, "Install the extra: pip install 'sixpoint[gateway,dicomweb]'.")
    if settings.ohif_folder:
        yield _ohif(settings)
    if (settings.dicomweb_url or settings.ohif_folder) and settings.http_port is None and settings.https_port is None:
        yield Finding(
            "viewers",
            True,
            "a DICOMweb server or OHIF is set, but no port for viewers",
            "Set SIXPOINT_HTTP_PORT or SIXPOINT_HTTPS_PORT.",
        )


def _pacs(settings: Settings) -> Finding:
    import httpx

    try:
        access = pacs_access(settings)
        assert access is not None
        context = ssl.create_default_context(cafile=access.ca_file or None)
        answer = httpx.get(
            f"{access.url}/studies?limit=1",
            headers={
                "accept": "application/dicom+json",
                **({"authorization": access.authorization} if access.authorization else {}),
            },
            verify=context,
            trust_env=False,
            timeout=_TIMEOUT_S,
        )
    except InvalidArgument as error:
        return Finding("DICOMweb", False, error.message, "Correct the setting.")
    except (OSError, ssl.SSLError):
        return Finding("DICOMweb", False, "SIXPOINT_DICOMWEB_CA_FILE cannot be read, or holds no certificates")
    except httpx.HTTPError as error:
        return Finding("DICOMweb", False, f"the server cannot be reached ({type(error).__name__})", _ADVICE)
    if answer.status_code in (401, 403):
        return Finding("DICOMweb", False, "the server refuses this gateway", "Look at SIXPOINT_DICOMWEB_TOKEN.")
    kind = answer.headers.get("content-type", "")
    if answer.status_code not in (200, 204) or (answer.status_code == 200 and "json" not in kind):
        return Finding("DICOMweb", False, f"no DICOMweb answers there (HTTP {answer.status_code})", _ADVICE)
    return Finding("DICOMweb", True, "the server answers (SIXPOINT_DICOMWEB_URL)")


def _ohif(settings: Settings) -> Finding:
    assert settings.ohif_folder is not None
    try:
        with (settings.ohif_folder / "index.html").open("rb") as file:
            page = file.read(_PAGE_BYTES)
    except OSError as error:
        return Finding(
            "OHIF",
            False,
            f"index.html of SIXPOINT_OHIF_FOLDER cannot be read: {error.strerror}",
            "Name the folder static/ohif of MONAI Label's wheel: docs/how-to/viewers/ohif.md.",
        )
    if b"/ohif/" not in page:
        return Finding(
            "OHIF",
            False,
            "the page of SIXPOINT_OHIF_FOLDER was not built for the address /ohif/, so that it does not find its files",
            "Build OHIF with PUBLIC_URL=/ohif/, or take that of MONAI Label's wheel: docs/how-to/viewers/ohif.md.",
        )
    return Finding("OHIF", True, "its page is there (SIXPOINT_OHIF_FOLDER)")
