"""The other methods of a session: undo and redo, labels, steps, forks, names; and of the client: resume and segment."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicerio

from sixpoint import errors
from sixpoint.client import Answered, Event, Phase, Retry, SegmentInfo, Superseded
from sixpoint.prompts import Click
from sixpoint.volume import Volume
from tests.sixpoint.client.fake_gateway import EACH_CLIENT, POINTS, ball, settled
from tests.sixpoint.client.session_gateway import SessionGateway
from tests.support.images import noisy_volume


@EACH_CLIENT
async def test_undo_redo_and_reset_return_the_new_mask(stepping: SessionGateway, kind: Any) -> None:
    client = kind(stepping.address, retry=Retry.none())
    session = await settled(client.open_session(noisy_volume()))
    for revision, change in enumerate((session.undo, session.redo, session.reset), 1):
        mask = await settled(change())
        assert mask.revision == session.revision == revision
        assert np.array_equal(mask.array, ball(3 + revision))
    assert stepping.calls[-3:] == ["Undo", "Redo", "Reset"]
    await settled(client.close())


@EACH_CLIENT
async def test_labels_are_all_segments_and_the_larger_number_wins(
    stepping: SessionGateway, kind: Any, tmp_path: Path
) -> None:
    client = kind(stepping.address, retry=Retry.none())
    session = await settled(client.open_session(noisy_volume()))
    await settled(session.annotate(POINTS))
    labels = await settled(session.labels())
    assert np.array_equal(labels.array, 2 * ball(4))
    await settled(session.save(tmp_path / "labels.nii.gz"))
    await settled(session.save(tmp_path / "first.nrrd", segment=1))
    assert np.array_equal(Volume.read(tmp_path / "labels.nii.gz").array, labels.array)
    assert np.array_equal(Volume.read(tmp_path / "first.nrrd").array, ball(4))
    calls = len(stepping.calls)
    with pytest.raises(errors.VolumeError, match="suffix"):
        await settled(session.save(tmp_path / "labels.png"))
    assert len(stepping.calls) == calls, "an unknown suffix is refused before any call"
    await settled(client.close())


@EACH_CLIENT
@pytest.mark.parametrize("number", [0, -1, 256])
async def test_a_number_that_no_segment_has_is_refused_before_any_call(
    stepping: SessionGateway, kind: Any, number: int, tmp_path: Path
) -> None:
    client = kind(stepping.address, retry=Retry.none())
    session = await settled(client.open_session(noisy_volume()))
    calls = len(stepping.calls)
    calls_of_segment: tuple[Callable[[], Any], ...] = (
        lambda: session.annotate(POINTS, segment=number),
        lambda: session.click((5, 5, 5), segment=number),
        lambda: session.undo(segment=number),
        lambda: session.redo(segment=number),
        lambda: session.reset(segment=number),
        lambda: session.mask(segment=number),
        lambda: session.save(tmp_path / "mask.nii.gz", segment=number),
        lambda: session.steps(segment=number),
        lambda: session.fork(segment=number),
        lambda: session.rename(number, "liver"),
    )
    for ask in calls_of_segment:
        with pytest.raises(errors.InvalidArgument, match=rf"segment {number}.*; expected a number from 1 to 255"):
            await settled(ask())
    assert len(stepping.calls) == calls
    await settled(client.close())


@EACH_CLIENT
async def test_names_are_saved_with_the_labels(stepping: SessionGateway, kind: Any, tmp_path: Path) -> None:
    client = kind(stepping.address, retry=Retry.none())
    session = await settled(client.open_session(noisy_volume()))
    await settled(session.annotate(POINTS))
    await settled(session.save(tmp_path / "all.nii.gz", names=True))
    await settled(session.save(tmp_path / "all.seg.nrrd"))
    await settled(session.save(tmp_path / "first.seg.nrrd", segment=1))
    assert json.loads((tmp_path / "all.json").read_text()) == {"1": "liver"}
    for name in ("all", "first"):
        segments = slicerio.read_segmentation(str(tmp_path / f"{name}.seg.nrrd"))["segments"]
        assert (segments[0]["labelValue"], segments[0]["name"]) == (1, "liver")
    assert (await settled(session.mask(segment=1))).names == {1: "liver"}
    calls = len(stepping.calls)
    (tmp_path / "scan.json").write_text("{}")
    with pytest.raises(errors.VolumeError, match=r"scan\.json: it is there, and holds something else"):
        await settled(session.save(tmp_path / "scan.nii.gz", names=True))
    assert len(stepping.calls) == calls
    await settled(client.close())


@EACH_CLIENT
async def test_a_session_is_renamed_forked_and_listed(stepping: SessionGateway, kind: Any) -> None:
    client = kind(stepping.address, retry=Retry.none())
    session = await settled(client.open_session(noisy_volume(), keep=True))
    await settled(session.rename(2, "spleen"))
    await settled(session.use_model("clicks"))
    assert (session.model, session.revision) == ("clicks", 2)
    assert session.segments == (SegmentInfo(1, "liver", 0, 0), SegmentInfo(2, "spleen", 0, 0))
    steps = await settled(session.steps(segment=1))
    assert [(step.segment, step.number, step.in_force, step.prompts) for step in steps] == [
        (1, 1, True, (POINTS,)),
        (1, 2, True, (POINTS,)),
    ]
    branch = await settled(session.fork(segment=1, step=1))
    assert (branch.id, branch.model, branch.keep, branch.volume) == ("s2", "clicks", True, session.volume)
    request = stepping.requests["ForkSession"]
    assert (request.session_id, request.segment, request.step) == ("s1", 1, 1)
    await settled(client.close_session("s1"))
    assert stepping.calls[-1] == "CloseSession"
    await settled(client.close())


@EACH_CLIENT
async def test_after_an_update_of_unknown_outcome_the_session_is_refreshed(stepping: SessionGateway, kind: Any) -> None:
    client = kind(stepping.address, retry=Retry.none())
    session = await settled(client.open_session(noisy_volume()))
    stepping.failures["UpdateSession"] = errors.StorageUnavailable("away", retry_after=1)
    with pytest.raises(errors.StorageUnavailable):
        await settled(session.rename(2, "spleen"))
    stepping.failures.clear()
    stepping.revision = 5
    await settled(session.rename(2, "spleen"))
    assert stepping.calls[-3:] == ["UpdateSession", "GetSession", "UpdateSession"]
    assert stepping.requests["UpdateSession"].revision == 5
    await settled(client.close())


@EACH_CLIENT
async def test_a_session_is_resumed_with_its_image_or_without(stepping: SessionGateway, kind: Any) -> None:
    client = kind(stepping.address, retry=Retry.none())
    stepping.images.add(noisy_volume().digest)
    without = await settled(client.resume("s1"))
    assert without.volume is None
    assert without.geometry.same_grid(noisy_volume().geometry)
    volume = noisy_volume()
    assert (await settled(client.resume("s1", volume))).volume is volume
    with pytest.raises(errors.InvalidArgument, match="not the session's image"):
        await settled(client.resume("s1", noisy_volume((8, 8, 8))))
    stepping.failures["Annotate"] = errors.ImageNotFound("lost")
    with pytest.raises(errors.ImageNotFound):
        await settled(without.annotate(POINTS))
    assert "UploadImage" not in stepping.calls, "without the image it cannot be uploaded again"
    await settled(client.close())


async def events_of(session: Any) -> list[Event]:
    """Send every kind of action into a stream, and return all events."""
    stream = session.interact()
    actions = (
        lambda: stream.send(Click((1, 2, 3)), Click((3, 2, 1))),
        lambda: stream.send(POINTS),
        stream.undo,
        stream.redo,
        stream.reset,
        stream.mask,
        stream.end,
    )
    if hasattr(stream, "__enter__"):
        with stream:
            numbers = [action() for action in actions]
            events = list(stream)
        with pytest.raises(errors.FailedPrecondition, match="not open"):
            stream.send(POINTS)
    else:
        async with stream:
            numbers = [await action() for action in actions]
            events = [event async for event in stream]
        with pytest.raises(errors.FailedPrecondition, match="not open"):
            await stream.send(POINTS)
    assert numbers == [1, 2, 3, 4, 5, 6, None]
    return events


@EACH_CLIENT
async def test_a_stream_carries_every_kind_of_action(stepping: SessionGateway, kind: Any) -> None:
    client = kind(stepping.address, retry=Retry.none())
    session = await settled(client.open_session(noisy_volume()))
    events = await events_of(session)
    assert [event for event in events if isinstance(event, Phase)] == [Phase(n, "inference") for n in range(1, 7)]
    assert Superseded(1, 2) in events
    answers = [event for event in events if isinstance(event, Answered)]
    assert [event.id for event in answers] == [2, 3, 4, 5, 6]
    assert [event.mask.revision for event in answers] == [1, 2, 3, 4, 4]
    assert all(np.array_equal(event.mask.array, ball(3 + event.mask.revision)) for event in answers)
    assert [action.WhichOneof("action") for action in stepping.actions[1:]] == [
        "annotate",
        "undo",
        "redo",
        "reset",
        "get_mask",
    ]
    assert session.revision == 4
    await settled(client.close())


@EACH_CLIENT
async def test_an_image_is_segmented(stepping: SessionGateway, kind: Any) -> None:
    client = kind(stepping.address, retry=Retry.none())
    progress: list[tuple[int, int]] = []
    found = await settled(client.segment(noisy_volume(), model="m", progress=lambda *done: progress.append(done)))
    assert progress == [(2, 4), (4, 4)]
    assert (found.names, found.model, found.model_version) == ({1: "anterior", 2: "posterior"}, "m", "3")
    assert np.array_equal(found.labels, ball(4))
    assert found.extreme_points("anterior") == POINTS
    assert stepping.calls.count("UploadImage") == 1
    await settled(client.segment(noisy_volume(), model="m", labels=["posterior"]))
    assert list(stepping.requests["Segment"].labels) == ["posterior"]
    stepping.sends_summary = False
    with pytest.raises(errors.InternalError, match="without a summary"):
        await settled(client.segment(noisy_volume(), model="m"))
    await settled(client.close())
