"""Images that a model is hardly made for: the caller is warned before they are uploaded."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from sixpoint import ImplausibleImageWarning
from sixpoint.cli.doctor.command import _check_prompt
from sixpoint.client import AsyncClient, Client, Retry
from sixpoint.errors import ModelNotFound
from sixpoint.v1 import model_service_pb2 as model_pb
from tests.sixpoint.client.fake_gateway import EACH_CLIENT, FakeGateway, settled
from tests.sixpoint.client.session_gateway import SessionGateway
from tests.support.images import noisy_volume

CT_MODEL = model_pb.Model(name="organs", task=model_pb.TASK_SEGMENTATION, modalities=["CT"])
DOUBT = "no voxel of the image is below"


async def test_opening_a_session_warns_before_the_upload(server: FakeGateway, client: Any) -> None:
    server.served_model = CT_MODEL
    with warnings.catch_warnings():
        warnings.simplefilter("error", ImplausibleImageWarning)
        with pytest.raises(ImplausibleImageWarning, match=DOUBT):
            await settled(client.open_session(noisy_volume(), model="organs"))
    assert server.calls == ["GetModel"]
    with pytest.warns(ImplausibleImageWarning, match=DOUBT) as caught:
        await _open_session(client)
    assert caught[0].filename == __file__, "the warning names the caller's line"
    assert server.calls[-1] == "CreateSession"


@EACH_CLIENT
async def test_a_segmentation_warns(stepping: SessionGateway, kind: Any) -> None:
    client = kind(stepping.address, retry=Retry.none())
    stepping.served_model = CT_MODEL
    with pytest.warns(ImplausibleImageWarning, match=DOUBT):
        await settled(client.segment(noisy_volume(), model="organs"))
    await settled(client.close())
    assert stepping.calls[0] == "GetModel"
    assert stepping.calls[-1] == "Segment"


async def test_an_image_is_checked_without_an_upload(server: FakeGateway, client: Any) -> None:
    server.served_model = CT_MODEL
    (doubt,) = await settled(client.check_image(noisy_volume(), model="organs"))
    assert doubt.startswith(DOUBT)
    assert server.calls == ["GetModel"]


async def test_a_plausible_image_is_used_without_a_warning(server: FakeGateway, client: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", ImplausibleImageWarning)
        await settled(client.open_session(noisy_volume(), model="annotation"))
    assert server.calls[-1] == "CreateSession"


async def test_an_unknown_model_is_refused_before_the_upload(server: FakeGateway, client: Any) -> None:
    server.failures["GetModel"] = ModelNotFound("no such model")
    with pytest.raises(ModelNotFound):
        await settled(client.open_session(noisy_volume(), model="orgns"))
    assert server.calls == ["GetModel"]


def test_the_doctor_does_not_warn_of_its_phantom(stepping: SessionGateway) -> None:
    prompts = [model_pb.PROMPT_KIND_EXTREME_POINTS]
    stepping.served_model = model_pb.Model(name="mr", modalities=["MR"], prompt_kinds=prompts)
    with warnings.catch_warnings(), Client(stepping.address, retry=Retry.none()) as client:
        warnings.simplefilter("error", ImplausibleImageWarning)
        findings = list(_check_prompt(client))
    assert "model mr outlined the phantom's liver" in findings[1].seen


async def _open_session(client: Any) -> None:
    """Open a session from this file, not from ``settled``: it is the caller that a warning names."""
    opened = client.open_session(noisy_volume(), model="organs")
    if isinstance(client, AsyncClient):
        await opened
