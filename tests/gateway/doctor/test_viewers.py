"""What the doctor says about the DICOMweb server and OHIF."""

from __future__ import annotations

from pathlib import Path

from tests.gateway.doctor.doctor_process import NOWHERE, findings_of, only
from tests.support.orthanc import running_orthanc


async def test_the_dicomweb_server_is_asked(tmp_path: Path) -> None:
    with running_orthanc(tmp_path / "orthanc", credentials="me:s3cret") as orthanc:
        for url, token, seen in (
            (orthanc.url, "me:s3cret", "the server answers (SIXPOINT_DICOMWEB_URL)"),
            (orthanc.url, "me:wrong", "the server refuses this gateway"),
            (f"{orthanc.rest}/system", "me:s3cret", "no DICOMweb answers there (HTTP 404)"),
            (f"http://{NOWHERE}/dicom-web", "", "the server cannot be reached (ConnectError)"),
        ):
            found = await findings_of(state_folder=tmp_path, dicomweb_url=url, dicomweb_token=token, http_port=0)
            finding = only(found, "DICOMweb")
            assert (finding.seen, finding.well) == (seen, seen.startswith("the server answers"))
            assert "viewers" not in {each.what for each in found}
    found = await findings_of(state_folder=tmp_path, dicomweb_url=f"http://{NOWHERE}/")
    assert "SIXPOINT_HTTP_PORT" in only(found, "viewers").advice


async def test_the_page_of_ohif_is_looked_at(tmp_path: Path) -> None:
    page = tmp_path / "index.html"
    for content, well, words in (
        (None, False, "cannot be read"),
        ("<script src='/app.js'>", False, "was not built for the address /ohif/"),
        ("<script src='/ohif/app.js'>", True, "is there"),
    ):
        if content:
            page.write_text(content)
        finding = only(await findings_of(state_folder=tmp_path, ohif_folder=tmp_path), "OHIF")
        assert (finding.well, words in finding.seen) == (well, True)
