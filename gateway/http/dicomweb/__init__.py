"""DICOMweb behind the gateway: viewers read from one server and store there, and its series are images."""

from gateway.http.dicomweb.pacs import Pacs, PacsAccess, open_pacs
from gateway.http.dicomweb.proxy import DicomwebProxy, dicomweb_routes
from gateway.http.dicomweb.series import SeriesImages

__all__ = ["DicomwebProxy", "Pacs", "PacsAccess", "SeriesImages", "dicomweb_routes", "open_pacs"]
