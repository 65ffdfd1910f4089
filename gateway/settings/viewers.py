"""Settings of what viewers need beside images and masks: a DICOMweb server, and a folder with OHIF."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr, field_validator

from gateway.settings.part import SettingsPart
from sixpoint.errors import InvalidArgument
from sixpoint.io.dicomweb import check_server_url

__all__ = ["ViewerSettings"]


class ViewerSettings(SettingsPart):
    """What viewers that speak HTTP are given."""

    dicomweb_url: str = ""
    """Base URL of the DICOMweb server that viewers reach through the gateway, as http://orthanc:8042/dicom-web."""
    dicomweb_token: SecretStr = Field(default=SecretStr(""))
    """What the gateway tells the DICOMweb server about itself: a token, or user:password."""
    dicomweb_ca_file: Path | None = None
    """PEM file with the authorities of the DICOMweb server's certificate; by default those of the system."""
    dicomweb_tenants: str = "default"
    """Tenants whose members may use the DICOMweb server, with commas: it knows no tenants, so they see all it has."""
    viewer_dataset: str = ""
    """Dataset to which viewers of MONAI Label add images, and in which they save labels; none by default."""
    ohif_folder: Path | None = None
    """Folder with the files of the viewer OHIF, which is then at /ohif/; none by default."""

    @field_validator("dicomweb_url")
    @classmethod
    def _is_server(cls, url: str) -> str:
        try:
            return check_server_url(url, what="SIXPOINT_DICOMWEB_URL") if url else ""
        except InvalidArgument as error:
            raise ValueError(error.message) from None

    @property
    def dicomweb_tenant_names(self) -> frozenset[str]:
        """Tenants whose members may use the DICOMweb server."""
        return frozenset(name.strip() for name in self.dicomweb_tenants.split(",") if name.strip())
