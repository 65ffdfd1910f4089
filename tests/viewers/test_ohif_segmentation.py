"""A mask of ours as DICOM SEG in a real PACS, shown by a newer OHIF, which is served from elsewhere."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

import sixpoint
from gateway.triton.local.server import LocalTriton
from sixpoint.io.dicomweb.server import DicomwebServer
from sixpoint.prompts import ExtremePoints, Frame
from tests.gateway.http.sites import HttpSite
from tests.support.servers import running_gateway
from tests.viewers.browser import open_page, picture, until
from tests.viewers.pacs_case import dice, pacs_case
from tests.viewers.programs import fetch_ohif, with_viewers

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

pytestmark = [with_viewers, pytest.mark.browser]


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


def test_a_saved_mask_is_shown_to_the_voxel(triton: LocalTriton, tmp_path: Path) -> None:
    with (
        pacs_case(tmp_path) as case,
        ohif_elsewhere(fetch_ohif()) as (url, site),
        running_gateway(
            triton_url=triton.address, http_port=0, dicomweb_url=case.orthanc.url, http_origins=url
        ) as gateway,
    ):
        site.dicomweb = f"{HttpSite.of(gateway, '').url}/proxy/dicom"
        image = case.orthanc.address(case.place)
        with sixpoint.Client(f"127.0.0.1:{gateway.port}") as client, client.open_session(image) as session:
            session.rename(1, "Spleen")
            mask = session.annotate(ExtremePoints(case.six_points(), frame=Frame.LPS))
            session.save(tmp_path / "seg.dcm")
        assert dice(mask.array.astype(np.bool_), case.organ) >= 0.9
        with DicomwebServer(site.dicomweb) as server:
            server.store(tmp_path / "seg.dcm")
        with open_page(url=url, other=HttpSite.of(gateway, "").url) as (page, faults):
            page.goto(f"{url}/segmentation?StudyInstanceUIDs={case.place.study}")
            until(page, "window.cornerstone?.getRenderingEngines()[0]?.getViewports().some(v => v.getImageData?.())")
            page.get_by_text("Confirm and Hide").click()
            page.locator('[data-cy="study-browser-thumbnail-no-image"]').dblclick()
            assert until(page, _SEGMENTS) == [["Spleen", int(mask.array.sum())]]
            picture(page, "ohif-segmentation")
        assert faults == []
