"""A mask of ours as DICOM SEG in a real PACS, shown by a newer OHIF, which is served from elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import sixpoint
from gateway.triton.local.server import LocalTriton
from sixpoint.io.dicomweb.server import DicomwebServer
from sixpoint.metrics import dice
from sixpoint.prompts import ExtremePoints, Frame
from tests.gateway.http.sites import HttpSite
from tests.support.servers import running_gateway
from tests.viewers.support.browser import look_at, open_page, picture
from tests.viewers.support.masks import deepest
from tests.viewers.support.ohif_site import ohif_elsewhere, open_segments
from tests.viewers.support.pacs_case import pacs_case
from tests.viewers.support.programs import fetch_ohif, real_viewer

pytestmark = [*real_viewer("OHIF 3.13, which shows DICOM SEG"), pytest.mark.browser]


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
            assert open_segments(page, url, case.place.study) == [["Spleen", int(mask.array.sum())]]
            # The mask is shown anyway; to be edited it would be loaded anew, and OHIF would go to its first slice.
            page.get_by_text("No", exact=True).click()
            page.get_by_text("Do you want to open this Segmentation?").wait_for(state="hidden")
            look_at(page, case.point(deepest(case.organ)))
            picture(page, "ohif-segmentation")
        assert faults == []
