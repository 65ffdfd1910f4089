"""Boxes and clicks over real gRPC, against the real Triton, with models whose answers are known.

``clicks`` adds and removes what is clicked; ``deaf`` answers the ellipsoid whatever is clicked, so that whatever holds
is the gateway's doing.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest

import sixpoint
from sixpoint import errors
from sixpoint.prompts import Box, Click, Frame
from sixpoint.protocol import error_from_rpc
from sixpoint.v1 import annotation_service_pb2 as annotation_pb
from sixpoint.v1 import annotation_service_pb2_grpc as annotation_grpc
from sixpoint.v1 import session_service_pb2 as session_pb
from sixpoint.v1 import session_service_pb2_grpc as session_grpc
from sixpoint.v1 import volume_pb2 as volume_pb
from tests.gateway.prompts import BOX, SIX
from tests.support.images import noisy_volume
from tests.support.models import write_clicks_model
from tests.support.paths import TRITON_ENVIRONMENT
from tests.support.ports import free_port
from tests.support.servers import running_gateway, running_triton

INSIDE, OUTSIDE, FAR = (20, 17, 16), (4, 17, 16), (38, 34, 30)


@pytest.fixture
def session(client: sixpoint.Client) -> Iterator[sixpoint.Session]:
    with client.open_session(noisy_volume(), model="clicks") as session:
        yield session


def at(mask: sixpoint.Mask, voxel: tuple[int, int, int]) -> int:
    return int(mask.array[voxel[::-1]])


@pytest.mark.parametrize("model", ["clicks", "deaf"])
def test_a_click_puts_its_voxel_on_its_side(client: sixpoint.Client, model: str) -> None:
    with client.open_session(noisy_volume(), model=model) as session:
        begun = session.annotate(SIX)
        assert (at(begun, INSIDE), at(begun, OUTSIDE)) == (1, 0)
        taken = session.click(INSIDE, positive=False)
        assert (at(taken, INSIDE), at(taken, OUTSIDE)) == (0, 0)
        added = session.click(OUTSIDE)
        # The first click still holds.
        assert (at(added, INSIDE), at(added, OUTSIDE)) == (0, 1)
        assert [one.revision for one in (begun, taken, added)] == [1, 2, 3]


@pytest.mark.parametrize("model", ["clicks", "deaf"])
def test_a_click_outside_the_roi_is_reached_and_the_answer_stays(client: sixpoint.Client, model: str) -> None:
    volume = noisy_volume((120, 36, 32))
    with client.open_session(volume, model=model) as session:
        begun = session.annotate(SIX)
        mask = session.click((110, 17, 16))
    assert at(mask, (110, 17, 16)) == 1
    changed = begun.array[:, :, :40] != mask.array[:, :, :40]
    assert np.count_nonzero(changed) < 0.15 * np.count_nonzero(begun.array)


def test_a_click_changes_nothing_far_from_it(session: sixpoint.Session) -> None:
    begun = session.annotate(SIX)
    mask = session.click((29, 18, 15), positive=False)
    changed = np.argwhere(begun.array != mask.array)
    assert 0 < len(changed) < 300
    assert np.abs(changed - (15, 18, 29)).max() <= 6


def test_prompts_together_are_one_answer(session: sixpoint.Session) -> None:
    mask = session.annotate(SIX, Click(OUTSIDE), Click(INSIDE, False))
    assert (at(mask, OUTSIDE), at(mask, INSIDE), mask.revision) == (1, 0, 1)


def test_of_two_clicks_in_one_voxel_the_later_one_counts(session: sixpoint.Session) -> None:
    session.annotate(SIX)
    assert at(session.annotate(Click(INSIDE), Click((20.2, 16.9, 16), False)), INSIDE) == 0
    assert at(session.click(INSIDE), INSIDE) == 1
    assert at(session.click(INSIDE, positive=False), INSIDE) == 0


def test_a_box_begins_an_object_as_points_do(session: sixpoint.Session) -> None:
    points, box = session.annotate(SIX), session.annotate(BOX)
    # Their box is the same, and so is its ellipsoid.
    assert np.array_equal(points.array, box.array)
    assert at(session.click(OUTSIDE), OUTSIDE) == 1


def test_the_corners_of_a_box_may_come_in_any_order_and_frame(session: sixpoint.Session) -> None:
    first = session.annotate(BOX)
    (x0, y0, z0), (x1, y1, z1) = BOX.lower, BOX.upper
    assert np.array_equal(session.annotate(Box((x1, y0, z1), (x0, y1, z0))).array, first.array)
    assert session.volume is not None
    lower, upper = session.volume.geometry.index_to_point([BOX.lower, BOX.upper]).tolist()
    assert np.array_equal(session.annotate(Box(lower, upper, Frame.LPS)).array, first.array)


def test_a_click_in_the_patients_millimetres_is_the_same_click(client: sixpoint.Client) -> None:
    volume = sixpoint.Volume(
        noisy_volume().array,
        sixpoint.Geometry((40, 36, 32), (0.8, 0.8, 2.5), (-100, 50, 700), (-1, 0, 0, 0, -1, 0, 0, 0, 1)),
    )
    ((x, y, z),) = volume.geometry.index_to_point([OUTSIDE]).tolist()
    masks = []
    for point, frame in ((OUTSIDE, "voxel"), ((x, y, z), "lps"), ((-x, -y, z), "RAS")):
        with client.open_session(volume, model="clicks") as session:
            session.annotate(SIX)
            masks.append(session.click(point, frame=frame))
    assert at(masks[0], OUTSIDE) == 1
    assert all(np.array_equal(masks[0].array, mask.array) for mask in masks[1:])


@pytest.mark.parametrize("start", [SIX, BOX], ids=["points", "box"])
def test_points_or_a_box_begin_anew(session: sixpoint.Session, start: sixpoint.Prompt) -> None:
    first = session.annotate(start)
    session.annotate(Click(OUTSIDE), Click(INSIDE, False))
    assert np.array_equal(session.annotate(start).array, first.array)


async def test_the_asynchronous_client_clicks_too(address: str, session: sixpoint.Session) -> None:
    session.annotate(SIX)
    expected = session.click(OUTSIDE)
    async with (
        sixpoint.AsyncClient(address) as client,
        await client.open_session(noisy_volume(), model="clicks") as own,
    ):
        await own.annotate(SIX)
        assert np.array_equal((await own.click(OUTSIDE)).array, expected.array)


def test_sessions_do_not_see_each_others_clicks(client: sixpoint.Client, session: sixpoint.Session) -> None:
    begun = session.annotate(SIX)
    with client.open_session(noisy_volume(), model="clicks") as other:
        other.annotate(SIX)
        other.click(INSIDE, positive=False)
        assert np.array_equal(session.click(INSIDE).array, begun.array)


# What is refused


def test_a_click_without_an_object_is_refused(session: sixpoint.Session) -> None:
    with pytest.raises(errors.NothingToCorrect, match="start with extreme points, a box, a mask"):
        session.click(INSIDE)
    assert session.annotate(SIX).revision == 1


@pytest.mark.parametrize(
    ("prompts", "words"),
    [
        ([BOX], "'ellipsoid' takes extreme_points; not box"),
        ([SIX, Click(INSIDE)], "'ellipsoid' takes extreme_points; not clicks"),
    ],
)
def test_a_model_refuses_prompts_of_other_kinds_and_names_its_own(
    client: sixpoint.Client, prompts: list[sixpoint.Prompt], words: str
) -> None:
    with client.open_session(noisy_volume(), model="ellipsoid") as session:
        with pytest.raises(errors.PromptNotSupported, match=words):
            session.annotate(*prompts)
        assert session.annotate(SIX).revision == 1


@pytest.mark.parametrize(
    ("prompts", "words", "field"),
    [
        ([Click((400, 17, 16))], "the click lies outside the image", "prompts[0].click.point"),
        ([Click(INSIDE), Click((20, -3, 16), False)], r"point at voxel \(20, -3, 16\)", "prompts[1].click.point"),
        ([Box((8, 7, 6), (31, 28, 6))], "the box is flat", "prompts[0].box.upper"),
        ([Box((8, 7, 6), (31, 28, 60))], "1 of 2 corners lie outside", "prompts[0].box.upper"),
        ([Click(INSIDE), SIX], "before any other prompt", "prompts[1].extreme_points"),
        ([SIX, BOX], "at most one of them", "prompts[1].box"),
        ([], "at least one prompt", "prompts"),
    ],
)
def test_a_refused_call_names_its_fault_and_leaves_the_session_as_it_was(
    client: sixpoint.Client, prompts: list[sixpoint.Prompt], words: str, field: str
) -> None:
    with (
        client.open_session(noisy_volume(), model="clicks") as session,
        client.open_session(noisy_volume(), model="clicks") as reference,
    ):
        for one in (session, reference):
            one.annotate(SIX, Click(OUTSIDE))
        with pytest.raises(errors.PromptError, match=words) as caught:
            session.annotate(*prompts)
        assert [violation.field for violation in caught.value.violations] == [field]
        again, expected = (one.click(FAR) for one in (session, reference))
        assert np.array_equal(again.array, expected.array)
        assert again.revision == 2


def test_more_clicks_than_an_object_takes(session: sixpoint.Session) -> None:
    with pytest.raises(errors.ResourceExhausted, match="1000 is the limit"):
        session.annotate(SIX, *[Click(INSIDE)] * 1001)
    assert session.annotate(SIX).revision == 1


@pytest.mark.parametrize(
    ("prompt", "words", "field"),
    [
        (
            annotation_pb.Prompt(click=annotation_pb.Click(frame=volume_pb.FRAME_VOXEL, point=volume_pb.Point(x=1))),
            "CLICK_SIGN_POSITIVE or CLICK_SIGN_NEGATIVE",
            "prompts[1].click.sign",
        ),
        (
            annotation_pb.Prompt(
                click=annotation_pb.Click(frame=volume_pb.FRAME_VOXEL, sign=annotation_pb.CLICK_SIGN_POSITIVE),
            ),
            "point is missing",
            "prompts[1].click.point",
        ),
        (annotation_pb.Prompt(), "unknown kind of prompt", "prompts[1]"),
    ],
    ids=["no sign", "no point", "no kind"],
)
def test_invalid_prompt_messages_are_refused(
    address: str, session: sixpoint.Session, prompt: annotation_pb.Prompt, words: str, field: str
) -> None:
    good = annotation_pb.Prompt(
        click=annotation_pb.Click(
            frame=volume_pb.FRAME_VOXEL, point=volume_pb.Point(x=1), sign=annotation_pb.CLICK_SIGN_POSITIVE
        )
    )
    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as caught:
        annotation_grpc.AnnotationServiceStub(channel).Annotate(
            annotation_pb.AnnotateRequest(session_id=session.id, prompts=[good, prompt])
        )
    error = error_from_rpc(caught.value)
    assert isinstance(error, errors.PromptError)
    assert words in error.message
    assert [violation.field for violation in error.violations] == [field]


# Triton away in between


@pytest.mark.triton
def test_a_click_that_triton_failed_is_as_if_it_was_never_made(tmp_path: Path) -> None:
    if not TRITON_ENVIRONMENT.is_dir():
        pytest.skip("Triton is not installed: make triton")
    port = free_port()
    write_clicks_model(tmp_path / "repository" / "clicks")
    with contextlib.ExitStack() as stack:
        with running_triton(tmp_path / "repository", port=port):
            gateway = stack.enter_context(running_gateway(triton_url=f"127.0.0.1:{port}"))
            patience = sixpoint.Retry(attempts=2)
            client = stack.enter_context(sixpoint.Client(f"127.0.0.1:{gateway.port}", retry=patience))
            session, reference = (client.open_session(noisy_volume(), model="clicks") for _ in range(2))
            for one in (session, reference):
                one.annotate(SIX)
        with pytest.raises(errors.TritonUnavailable):
            session.click(OUTSIDE)
        stub = session_grpc.SessionServiceStub(client.channel)
        assert stub.GetSession(session_pb.GetSessionRequest(session_id=session.id)).session.revision == 1
        with running_triton(tmp_path / "repository", port=port):
            assert eventually(lambda: client.models() != [])
            again, expected = (one.click(INSIDE, positive=False) for one in (session, reference))
    assert np.array_equal(again.array, expected.array)
    assert (at(again, OUTSIDE), again.revision) == (0, 2)


def eventually(done: Callable[[], bool]) -> bool:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with contextlib.suppress(errors.Unavailable):
            if done():
                return True
        time.sleep(0.1)
    return False
