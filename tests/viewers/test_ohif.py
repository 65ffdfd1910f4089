"""OHIF, unmodified: six mouse clicks on a CT in a real PACS become a mask, a further one
corrects it, and a newer OHIF shows what was saved of it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import sixpoint
from gateway.server import Gateway
from gateway.triton.local.server import LocalTriton
from sixpoint._typing import Array
from sixpoint.io.dicomweb.server import DicomwebServer
from sixpoint.metrics import dice
from sixpoint.phantom.coil import make_coil
from tests.gateway.http.sites import HttpSite
from tests.support.orthanc import store_files, write_ct_series
from tests.support.servers import running_gateway
from tests.viewers.support.browser import look_at, open_page, picture, until
from tests.viewers.support.masks import deepest
from tests.viewers.support.ohif_site import OhifSite, ohif_elsewhere, open_segments
from tests.viewers.support.pacs_case import PacsCase, pacs_case
from tests.viewers.support.programs import fetch_ohif, fetch_ohif_of_monai_label, real_viewer

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [*real_viewer("OHIF with MONAI Label's mode"), pytest.mark.browser]


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PacsCase]:
    with pacs_case(tmp_path_factory.mktemp("pacs")) as made:
        yield made


@pytest.fixture(scope="module")
def newer_ohif() -> Iterator[tuple[str, type[OhifSite]]]:
    with ohif_elsewhere(fetch_ohif()) as served:
        yield served


@pytest.fixture(scope="module")
def gateway(triton: LocalTriton, case: PacsCase, newer_ohif: tuple[str, type[OhifSite]]) -> Iterator[Gateway]:
    with running_gateway(
        triton_url=triton.address,
        http_port=0,
        http_origins=newer_ohif[0],
        dicomweb_url=case.orthanc.url,
        ohif_folder=fetch_ohif_of_monai_label(),
    ) as running:
        yield running


def test_six_clicks_and_a_correction_are_saved_and_shown(
    gateway: Gateway, case: PacsCase, newer_ohif: tuple[str, type[OhifSite]], tmp_path: Path
) -> None:
    url = HttpSite.of(gateway, "").url
    with open_page(url=url, cookies={"MONAILABEL_SERVER_URL": f"{url}/"}) as (page, faults):
        open_tab(page, f"{url}/ohif/monai-label?StudyInstanceUIDs={case.place.study}", "tab-3")
        choose(page, "object")
        for point in case.six_points():
            click(page, point)
        run = page.locator(".tab-content").nth(2).get_by_text("Run")
        run.click()
        mask = shown_mask(page, np.zeros_like(case.organ))
        assert dice(mask, case.organ) >= 0.9
        wrong = deepest(mask & ~case.organ)
        choose(page, "background")
        click(page, case.point(wrong))
        # OHIF sends the points of the label that is chosen, and those of background.
        choose(page, "object")
        run.click()
        corrected = shown_mask(page, mask)
        look_at(page, case.point(deepest(corrected)))
        picture(page, "ohif")
        assert not corrected[wrong]
        assert dice(corrected, case.organ) >= 0.9
    # OHIF asks whether the gateway trains.
    assert [fault for fault in faults if "/train/" not in fault and "fonts.googleapis.com" not in fault] == []
    with sixpoint.Client(f"127.0.0.1:{gateway.port}") as client:
        (made,) = client.sessions()
        with client.resume(made.id, image=case.orthanc.address(case.place)) as session:
            session.save(tmp_path / "seg.dcm")
    elsewhere, site = newer_ohif
    site.dicomweb = f"{url}/proxy/dicom"
    with DicomwebServer(site.dicomweb) as server:
        server.store(tmp_path / "seg.dcm")
    with open_page(url=elsewhere, other=url) as (page, faults):
        assert open_segments(page, elsewhere, case.place.study) == [["object", int(corrected.sum())]]
    assert faults == []


def test_a_model_without_prompts(gateway: Gateway, case: PacsCase, tmp_path: Path) -> None:
    # It has no hippocampus; the model outlines something in it all the same, and that is what comes here.
    place = write_ct_series(tmp_path / "series", make_coil(seed=1).image)
    store_files(case.orthanc, tmp_path / "series")
    with sixpoint.Client(f"127.0.0.1:{gateway.port}") as client, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = client.segment(case.orthanc.address(place), model="segmentation_hippocampus")
    url = HttpSite.of(gateway, "").url
    with open_page(url=url, cookies={"MONAILABEL_SERVER_URL": f"{url}/"}) as (page, _):
        open_tab(page, f"{url}/ohif/monai-label?StudyInstanceUIDs={place.study}", "tab-2")
        page.locator(".tab-content").nth(1).get_by_text("Run").click()
        mask = shown_mask(page, np.zeros(expected.labels.shape, np.bool_))
        counts = page.evaluate(
            """() => {
                const v = services.segmentationService.getLabelmapVolume('1'), counts = {};
                const segments = services.segmentationService.getSegmentations()[0].segments;
                for (const x of v.voxelManager.getCompleteScalarDataArray())
                    if (x) counts[segments[x].label] = (counts[segments[x].label] ?? 0) + 1;
                return counts;
            }"""
        )
    assert np.array_equal(mask, expected.labels > 0)
    assert counts == {name: int((expected.labels == number).sum()) for number, name in expected.names.items()}


def open_tab(page: Page, address: str, tab: str) -> None:
    """Open a study, wait for its voxels, connect to the gateway, and open a tab of MONAI Label's panel."""
    page.goto(address)
    until(page, "window.cornerstone?.getRenderingEngines()[0]?.getViewports().some(v => v.getImageData?.())")
    until(
        page, "cornerstone.cache.getVolumes().length && cornerstone.cache.getVolumes().every(v => v.loadStatus?.loaded)"
    )
    page.get_by_text("Confirm and Hide").click()
    page.locator(".settingsTable button.actionButton").click()
    page.locator(f"label[for={tab}]").click()


def choose(page: Page, label: str) -> None:
    row = page.locator(".optionsTableContainer tr").filter(has_text=label).locator("visible=true").first
    row.click()
    row.evaluate_handle("e => { window.chosenRow = e; }")
    until(page, "window.chosenRow.style.backgroundColor.startsWith('dark')")


def click(page: Page, point: tuple[float, ...]) -> None:
    """Bring the slice of a point into view, and click there."""
    count = "cornerstoneTools.annotation.state.getAllAnnotations().length"
    before = page.evaluate(f"() => {count}")
    x, y = page.evaluate(
        """(w) => {
            const v = cornerstone.getRenderingEngines()[0].getViewport('mpr-axial');
            const cam = v.getCamera(), n = cam.viewPlaneNormal;
            const d = n.reduce((s, c, k) => s + c * (w[k] - cam.focalPoint[k]), 0);
            const along = (p) => p.map((c, k) => c + d * n[k]);
            v.setCamera({ focalPoint: along(cam.focalPoint), position: along(cam.position) });
            v.render();
            const c = v.worldToCanvas(w), r = v.canvas.getBoundingClientRect();
            return [r.left + c[0], r.top + c[1]];
        }""",
        list(point),
    )
    page.wait_for_timeout(500)
    page.mouse.move(x - 3, y)
    page.mouse.move(x, y)
    page.mouse.down()
    page.wait_for_timeout(60)
    page.mouse.up()
    until(page, f"{count} > {before}")


def shown_mask(page: Page, before: Array) -> Array:
    """The voxels that the viewer shows once they are others than before, [z, y, x]."""
    for _ in range(360):
        page.wait_for_timeout(500)
        content: Any = page.evaluate(
            """() => {
                const v = services.segmentationService.getLabelmapVolume('1');
                const d = v.voxelManager.getCompleteScalarDataArray(), set = [];
                d.forEach((x, k) => { if (x) set.push(k); });
                return { size: v.dimensions, set };
            }"""
        )
        mask = np.zeros(before.size, np.bool_)
        mask[content["set"]] = True
        mask = mask.reshape(content["size"][::-1])
        if (mask != before).any():
            return mask
    raise AssertionError("the mask did not change")
