"""Sessions saved as DICOM by the client: all segments, which may overlap, or one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from sixpoint import errors
from sixpoint.client import Retry
from tests.sixpoint.client.fake_gateway import EACH_CLIENT, POINTS, ball, settled
from tests.sixpoint.client.session_gateway import SessionGateway
from tests.sixpoint.io.dicom.dicom_files import write_series
from tests.sixpoint.io.dicom.output.saving import read_back
from tests.support.images import noisy_volume


@EACH_CLIENT
async def test_segments_that_overlap_are_saved_whole(stepping: SessionGateway, kind: Any, tmp_path: Path) -> None:
    series = write_series(tmp_path / "series", noisy_volume().array)
    client = kind(stepping.address, retry=Retry.none())
    session = await settled(client.open_session(series))
    await settled(session.annotate(POINTS))
    await settled(session.save(tmp_path / "all.dcm"))
    made = pydicom.dcmread(tmp_path / "all.dcm")
    assert [segment.SegmentLabel for segment in made.SegmentSequence] == ["liver", "Segment 2"]
    for number in (1, 2):
        assert np.array_equal(read_back(tmp_path / "all.dcm", series, number), ball(4))
    await settled(session.save(tmp_path / "one.dcm", segment=2, dicom="rtstruct", creator="Doe^John"))
    assert np.array_equal(read_back(tmp_path / "one.dcm", series), ball(4))
    with pytest.raises(errors.InvalidArgument, match="object 2 overlaps others"):
        await settled(session.save(tmp_path / "map.dcm", dicom="labelmap"))
    await settled(client.close())


@EACH_CLIENT
async def test_a_session_on_another_image_asks_for_its_dicom_files_before_any_call(
    stepping: SessionGateway, kind: Any, tmp_path: Path
) -> None:
    client = kind(stepping.address, retry=Retry.none())
    session = await settled(client.open_session(noisy_volume()))
    await settled(session.annotate(POINTS))
    calls = len(stepping.calls)
    with pytest.raises(errors.InvalidArgument, match=r"source=FOLDER"):
        await settled(session.save(tmp_path / "m.dcm"))
    assert len(stepping.calls) == calls
    series = write_series(tmp_path / "series", noisy_volume().array)
    with pytest.raises(errors.VolumeError, match="does not hold the image"):
        await settled(session.save(tmp_path / "m.dcm", source=series))
    await settled(client.close())
