"""Sessions: what a prompt sends, and what its answer becomes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sixpoint import errors
from sixpoint.errors import SixpointError, Violation
from sixpoint.prompts import Box, Click, ExtremePoints, Frame
from sixpoint.protocol import prompt_to_message
from sixpoint.v1 import annotation_service_pb2 as annotation_pb
from tests.sixpoint.client.fake_gateway import (
    POINTS,
    TIMINGS,
    FakeGateway,
    settled,
)
from tests.support.images import noisy_volume


async def test_a_session_is_opened_on_the_image_with_the_model(server: FakeGateway, client: Any) -> None:
    volume = noisy_volume()
    session = await settled(client.open_session(volume, model="spleen"))
    assert server.calls == ["GetModel", "GetImage", "GetUpload", "UploadImage", "CreateSession"]
    request = server.requests["CreateSession"]
    assert (request.image_digest, request.model) == (volume.digest, "spleen")
    assert request.request_id
    assert (session.id, session.model, session.revision) == ("s1", "spleen", 0)
    assert session.volume is volume


async def test_sessions_of_a_version_are_listed_and_counted(server: FakeGateway, client: Any) -> None:
    server.session_count = 0
    assert await settled(client.count_sessions(model="m", version="2")) == 0
    assert [one.id for one in await settled(client.sessions(model="m", version="2"))] == ["s1"]
    assert (server.requests["ListSessions"].model, server.requests["ListSessions"].model_version) == ("m", "2")


async def test_a_gateway_that_ignores_the_filters_raises_an_error(server: FakeGateway, client: Any) -> None:
    assert len(await settled(client.sessions())) == 1
    for asked in (client.sessions, client.count_sessions):
        with pytest.raises(errors.FailedPrecondition, match="older than this client"):
            await settled(asked(model="m"))


async def test_points_are_sent_in_their_own_frame(server: FakeGateway, client: Any) -> None:
    session = await settled(client.open_session(noisy_volume()))
    await settled(session.annotate(ExtremePoints(POINTS.points, Frame.RAS)))
    request = server.requests["Annotate"]
    assert request.session_id == "s1"
    (prompt,) = request.prompts
    assert prompt.extreme_points.frame == 3
    assert [(p.x, p.y, p.z) for p in prompt.extreme_points.points] == list(POINTS.points)


async def test_prompts_of_every_kind_are_sent_together_in_order(server: FakeGateway, client: Any) -> None:
    session = await settled(client.open_session(noisy_volume()))
    await settled(session.annotate(Box((1, 2, 3), (4, 5, 6)), Click((7, 8, 9)), Click((1, 1, 1), False, Frame.LPS)))
    box, first, second = server.requests["Annotate"].prompts
    assert [one.WhichOneof("kind") for one in (box, first, second)] == ["box", "click", "click"]
    assert (box.box.lower.x, box.box.upper.z) == (1, 6)
    assert (first.click.sign, second.click.sign, second.click.frame) == (1, 2, 2)


@pytest.mark.parametrize("positive", [True, False])
async def test_click_sends_one_click_prompt(server: FakeGateway, client: Any, positive: bool) -> None:
    session = await settled(client.open_session(noisy_volume()))
    mask = await settled(session.click((1, 2, 3), positive=positive, frame="ras"))
    (prompt,) = server.requests["Annotate"].prompts
    assert prompt == prompt_to_message(Click((1, 2, 3), positive, Frame.RAS))
    assert mask.revision == session.revision == 1


async def test_a_mask_is_on_the_images_own_grid(server: FakeGateway, client: Any) -> None:
    volume = noisy_volume()
    session = await settled(client.open_session(volume))
    mask = await settled(session.annotate(POINTS))
    expected = np.zeros(volume.array.shape, np.uint8)
    expected[12:18, 11:16, 10:14] = np.random.default_rng(1).random((6, 5, 4)) > 0.5
    assert np.array_equal(mask.array, expected)
    assert mask.geometry is volume.geometry
    assert (mask.model, mask.model_version, mask.revision) == ("annotation", "7", 1)
    assert mask.timings == TIMINGS
    assert mask.reply_bytes == len(server.mask.bits)


async def test_the_session_takes_its_revision_from_the_answers(server: FakeGateway, client: Any) -> None:
    session = await settled(client.open_session(noisy_volume()))
    for expected in (1, 2):
        await settled(session.annotate(POINTS))
        assert session.revision == expected


def _flip(message: annotation_pb.MaskPatch) -> None:
    bits = bytearray(message.bits)
    bits[-1] ^= 1
    message.bits = bytes(bits)


def _outside(message: annotation_pb.MaskPatch) -> None:
    message.box.upper[0] = 1000


@pytest.mark.parametrize(
    "damage",
    [
        _flip,
        _outside,
        lambda message: message.ClearField("bits"),
        lambda message: message.ClearField("box"),
        lambda message: message.ClearField("sha256"),
    ],
    ids=["a flipped bit", "outside the image", "no bits", "no box", "no checksum"],
)
async def test_a_damaged_mask_raises_an_error(
    server: FakeGateway, client: Any, damage: Callable[[annotation_pb.MaskPatch], None]
) -> None:
    damage(server.mask)
    session = await settled(client.open_session(noisy_volume()))
    with pytest.raises(errors.InternalError, match="mask"):
        await settled(session.annotate(POINTS))


@pytest.mark.parametrize("kind", list(SixpointError.tree()), ids=lambda kind: kind.__name__)
async def test_every_error_of_the_gateway_is_raised_as_its_class(
    server: FakeGateway, client: Any, kind: type[SixpointError]
) -> None:
    violations = (Violation("prompts[0].points", "six"),)
    server.failures["Annotate"] = kind("said there", violations=violations, retry_after=1.5)
    server.images.add(noisy_volume().digest)
    session = await settled(client.open_session(noisy_volume()))
    with pytest.raises(SixpointError, match=r"^said there$") as caught:
        await settled(session.annotate(POINTS))
    assert type(caught.value) is kind
    assert (caught.value.violations, caught.value.retry_after) == (violations, 1.5)
    assert session.revision == 0
