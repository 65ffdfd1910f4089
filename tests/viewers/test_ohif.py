"""OHIF, unmodified: six mouse clicks on a CT of a real PACS become a mask, and a further one corrects it."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from PIL import Image
from pydicom.uid import generate_uid

from gateway.server import Gateway
from gateway.triton.local.server import LocalTriton
from sixpoint._typing import Array
from sixpoint.geometry import Geometry
from sixpoint.volume import Volume
from tests.gateway.http.sites import HttpSite
from tests.support.data import shared
from tests.support.orthanc import Orthanc, StoredSeries, running_orthanc, store_files
from tests.support.servers import running_gateway
from tests.viewers.browser import open_page
from tests.viewers.programs import fetch_ohif_of_monai_label, with_viewers

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [with_viewers, pytest.mark.browser]

SPLEEN = 1
# Where to put pictures of what was seen; empty for nowhere.
PICTURES = os.environ.get("VIEWER_PICTURES", "")


@dataclass(frozen=True)
class Case:
    """A CT in a PACS, and the mask of an organ in it."""

    orthanc: Orthanc
    place: StoredSeries
    organ: Array
    geometry: Geometry

    def six_points(self) -> list[tuple[float, ...]]:
        """The organ's extreme points, in the patient."""
        places = np.argwhere(self.organ)
        ends = [places[places[:, axis] == end(places[:, axis])] for axis in (2, 1, 0) for end in (np.min, np.max)]
        return [self.point(end[len(end) // 2]) for end in ends]

    def point(self, voxel: Sequence[int]) -> tuple[float, ...]:
        """The place of a voxel [z, y, x] in the patient."""
        return tuple(self.geometry.index_to_point([tuple(voxel)[::-1]])[0].tolist())


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    source = shared("dicom/ct_abdomen_series")
    folder = tmp_path_factory.mktemp("pacs")
    place = with_uids(source, folder / "series")
    with running_orthanc(folder / "orthanc") as orthanc:
        store_files(orthanc, folder / "series")
        yield make_case(folder / "series", orthanc, place)


def make_case(files: Path, orthanc: Orthanc, place: StoredSeries) -> Case:
    label = shared("dicom/ct_abdomen_series_label.nii.gz")
    grid = Volume.read(files).geometry
    image = sitk.Image(*grid.size, sitk.sitkUInt8)
    image.SetOrigin(grid.origin)
    image.SetSpacing(grid.spacing)
    image.SetDirection(grid.direction)
    nearest = sitk.Resample(
        sitk.ReadImage(str(label)), image, sitk.Transform(), sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8
    )
    return Case(orthanc, place, sitk.GetArrayFromImage(nearest) == SPLEEN, grid)


@pytest.fixture(scope="module")
def gateway(triton: LocalTriton, case: Case) -> Iterator[Gateway]:
    with running_gateway(
        triton_url=triton.address,
        http_port=0,
        dicomweb_url=case.orthanc.url,
        ohif_folder=fetch_ohif_of_monai_label(),
    ) as running:
        yield running


def with_uids(source: Path, folder: Path) -> StoredSeries:
    """Copy a series whose UIDs are empty, with new ones."""
    folder.mkdir()
    place, frame = StoredSeries(generate_uid(), generate_uid()), generate_uid()
    for number, path in enumerate(sorted(source.iterdir())):
        header = pydicom.dcmread(path)
        header.StudyInstanceUID, header.SeriesInstanceUID = place.study, place.series
        header.FrameOfReferenceUID, header.SOPInstanceUID = frame, generate_uid()
        header.SOPClassUID = header.SOPClassUID or "1.2.840.10008.5.1.4.1.1.2"
        header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
        header.PatientName, header.PatientID, header.StudyDate = "Test^Sixpoint", "sixpoint-test", "20260101"
        header.save_as(folder / f"{number:03}.dcm")
    return place


def test_six_clicks_and_a_correction(gateway: Gateway, case: Case) -> None:
    url = HttpSite.of(gateway, "").url
    with open_page(url=url, cookies={"MONAILABEL_SERVER_URL": f"{url}/"}) as (page, faults):
        page.goto(f"{url}/ohif/monai-label?StudyInstanceUIDs={case.place.study}")
        until(page, "window.cornerstone?.getRenderingEngines()[0]?.getViewports().some(v => v.getImageData?.())")
        until(
            page,
            "cornerstone.cache.getVolumes().length && cornerstone.cache.getVolumes().every(v => v.loadStatus?.loaded)",
        )
        page.get_by_text("Confirm and Hide").click()
        page.locator(".settingsTable button.actionButton").click()
        page.locator("label[for=tab-3]").click()
        choose(page, "object")
        for point in case.six_points():
            click(page, point)
        run = page.locator(".tab-content").nth(2).get_by_text("Run")
        run.click()
        mask = shown_mask(page, np.zeros_like(case.organ))
        picture(page, "ohif-mask")
        assert dice(mask, case.organ) >= 0.9
        wrong = deepest(mask & ~case.organ)
        choose(page, "background")
        click(page, case.point(wrong))
        # OHIF sends the points of the label that is chosen, and those of background.
        choose(page, "object")
        run.click()
        corrected = shown_mask(page, mask)
        picture(page, "ohif-corrected")
        assert not corrected[wrong]
        assert dice(corrected, case.organ) >= 0.9
    # OHIF asks whether the gateway trains.
    assert [fault for fault in faults if "/train/" not in fault and "fonts.googleapis.com" not in fault] == []


def until(page: Page, condition: str, seconds: float = 90) -> Any:
    """Wait until an expression is true in the page; returns its value."""
    for _ in range(int(seconds * 4)):
        # Not wait_for_function: it would need eval, which the page's policy forbids.
        if value := page.evaluate(f"() => {condition}"):
            return value
        page.wait_for_timeout(250)
    raise AssertionError(f"still not true: {condition}")


def choose(page: Page, label: str) -> None:
    page.locator(".optionsTableContainer tr").filter(has_text=label).locator("visible=true").first.click()
    page.wait_for_timeout(300)


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
    until(page, f"{count} > {before}", 10)


def shown_mask(page: Page, before: Array) -> Array:
    """The voxels that the viewer shows once they are others than before, [z, y, x]."""
    for _ in range(60):
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


def deepest(mask: Array) -> tuple[int, ...]:
    """The voxel [z, y, x] that lies farthest from the edge of a mask."""
    inside = sitk.SignedMaurerDistanceMap(sitk.GetImageFromArray(mask.astype(np.uint8)), True, False, False)
    return tuple(map(int, np.unravel_index(np.argmax(sitk.GetArrayFromImage(inside)), mask.shape)))


def dice(a: Array, b: Array) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def picture(page: Page, name: str) -> None:
    """Keep a picture for the documentation, in few colours."""
    if PICTURES:
        page.wait_for_timeout(1500)
        content = Image.open(io.BytesIO(page.screenshot()))
        content.convert("P", palette=Image.Palette.ADAPTIVE, colors=64).save(f"{PICTURES}/{name}.png", optimize=True)
