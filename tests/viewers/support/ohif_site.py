"""A newer OHIF, without MONAI Label's mode, which a site of its own serves: it shows DICOM SEG."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.viewers.support.browser import until

if TYPE_CHECKING:
    from playwright.sync_api import Page

__all__ = ["OhifSite", "ohif_elsewhere", "open_segments"]

# The label of each segment that is shown, and the number of its voxels; null while it is being loaded.
_SEGMENTS = """(() => {
    const shown = services.segmentationService.getSegmentations();
    if (!shown.length || !shown[0].representationData.Labelmap) return null;
    return shown.map((s) => {
        let count = 0;
        for (const id of s.representationData.Labelmap.imageIds)
            for (const voxel of cornerstone.cache.getImage(id).voxelManager.getScalarData()) if (voxel) count++;
        return [Object.values(s.segments).map(g => g.label).join(), count];
    });
})()"""


class OhifSite(SimpleHTTPRequestHandler):
    """OHIF's files, its page for every other path, and a configuration that names the gateway's DICOMweb."""

    dicomweb = ""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path != "/app-config.js":
            self.path = path if Path(self.translate_path(path)).is_file() else "/index.html"
            super().do_GET()
            return
        source = {
            "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
            "sourceName": "dicomweb",
            "configuration": {
                "friendlyName": "PACS",
                "name": "pacs",
                **dict.fromkeys(("wadoUriRoot", "qidoRoot", "wadoRoot"), self.dicomweb),
                "qidoSupportsIncludeField": True,
                "imageRendering": "wadors",
                "thumbnailRendering": "wadors",
                "enableStudyLazyLoad": True,
                "bulkDataURI": {"enabled": True},
            },
        }
        config = {
            "routerBasename": None,
            "showStudyList": True,
            "extensions": [],
            "modes": [],
            "defaultDataSourceName": "dicomweb",
            "dataSources": [source],
        }
        content = f"window.config = {json.dumps(config)};".encode()
        self.send_response(200)
        self.send_header("content-type", "text/javascript")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def ohif_elsewhere(folder: Path) -> Iterator[tuple[str, type[OhifSite]]]:
    """Serve OHIF from a site of its own; yields its address, and what takes the address of DICOMweb."""
    site: type[OhifSite] = type("Site", (OhifSite,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(site, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", site
        server.shutdown()


def open_segments(page: Page, url: str, study: str) -> Any:
    """Open a study and the one segmentation in it; returns the label of each segment with the number of its voxels."""
    page.goto(f"{url}/segmentation?StudyInstanceUIDs={study}")
    until(page, "window.cornerstone?.getRenderingEngines()[0]?.getViewports().some(v => v.getImageData?.())")
    page.get_by_text("Confirm and Hide").click()
    page.locator('[data-cy="study-browser-thumbnail-no-image"]').dblclick()
    return until(page, _SEGMENTS)
