"""Which series an image was made of, for viewers that show the series of the image that is next.

The UIDs stay in the memory of this process, and are written nowhere; all else that viewers show is asked of the server
each time.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict

from gateway.core.access import Principal
from gateway.http.dicomweb.pacs import Pacs
from sixpoint.errors import SixpointError

__all__ = ["SeriesOrigins"]

# What OHIF shows of the next image, and 3D Slicer calls it by.
_FIELDS = {
    "PatientID": "00100020",
    "StudyInstanceUID": "0020000D",
    "SeriesInstanceUID": "0020000E",
    "Modality": "00080060",
    "StudyDate": "00080020",
    "StudyTime": "00080030",
}


class SeriesOrigins:
    """Remembers series by the images that were made of them.

    Args:
        pacs: The server.
        limit: Number of images that are remembered: those used last.
    """

    def __init__(self, pacs: Pacs, *, limit: int) -> None:
        self._pacs = pacs
        self._limit = limit
        self._series: OrderedDict[tuple[str, str], str] = OrderedDict()

    def remember(self, principal: Principal, digest: str, uid: str) -> None:
        """Note of which series an image was made.

        Args:
            principal: Who asked for it.
            digest: SHA-256 of the image.
            uid: UID of the series.
        """
        key = (principal.tenant, digest)
        # Two series with the same voxels, maybe of two patients: the image is that of neither alone.
        self._series[key] = uid if self._series.get(key, uid) == uid else ""
        self._series.move_to_end(key)
        if len(self._series) > self._limit:
            self._series.popitem(last=False)

    async def describe(self, principal: Principal, digest: str) -> dict[str, str]:
        """Return what the server says of the series of an image; nothing if it is unknown, or cannot be asked for.

        Args:
            principal: Who asks.
            digest: SHA-256 of the image.
        """
        uid = self._series.get((principal.tenant, digest))
        if uid:
            with contextlib.suppress(SixpointError):
                self._pacs.check(principal)
                return await self._pacs.describe_series(uid, _FIELDS)
        return {}
