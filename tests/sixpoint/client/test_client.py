"""The client itself: absent gateways, deadlines, models, lists of sessions, and the names of both clients."""

from __future__ import annotations

import inspect
from typing import Any

import grpc
import grpc.aio
import pytest

from sixpoint import errors
from sixpoint.client import (
    AsyncClient,
    AsyncInteraction,
    AsyncSession,
    Client,
    Interaction,
    Retry,
    Session,
    Timeout,
)
from sixpoint.v1 import model_service_pb2 as model_pb
from tests.sixpoint.client.fake_gateway import (
    EACH_CLIENT,
    FakeGateway,
    settled,
)
from tests.support.ports import free_port


@EACH_CLIENT
async def test_if_no_gateway_answers_the_error_names_the_target_and_what_to_do(kind: Any) -> None:
    target = f"127.0.0.1:{free_port()}"
    client = kind(target, retry=Retry(attempts=2))
    with pytest.raises(errors.Unavailable, match=f"no gateway answers at {target} .*`make serve`") as caught:
        await settled(client.models())
    assert isinstance(caught.value.__cause__, grpc.RpcError)
    await settled(client.close())


async def test_an_unavailable_gateway_is_not_reported_as_absent(server: FakeGateway, client: Any) -> None:
    server.failures["ListModels"] = errors.Unavailable("draining", retry_after=2)
    with pytest.raises(errors.Unavailable, match=r"^draining$") as caught:
        await settled(client.models())
    assert caught.value.retry_after == 2


@EACH_CLIENT
async def test_a_call_ends_at_its_timeout(server: FakeGateway, kind: Any) -> None:
    server.may_answer.clear()
    client = kind(server.address, timeout=Timeout(call=0.2))
    with pytest.raises(errors.DeadlineExceeded):
        await settled(client.models())
    await settled(client.close())


async def test_the_filters_of_models_are_sent(server: FakeGateway, client: Any) -> None:
    await settled(client.models(label="spleen", task="annotation", modality="CT", prompt="extreme_points"))
    assert server.requests["ListModels"] == model_pb.ListModelsRequest(
        label="spleen", task=model_pb.TASK_ANNOTATION, modality="CT", prompt_kind=model_pb.PROMPT_KIND_EXTREME_POINTS
    )


async def test_models_without_filters_lists_all(server: FakeGateway, client: Any) -> None:
    assert [model.name for model in await settled(client.models())] == ["annotation"]
    assert server.requests["ListModels"] == model_pb.ListModelsRequest()


@pytest.mark.parametrize("wrong", [{"task": "guessing"}, {"prompt": "telepathy"}])
async def test_an_unknown_task_or_prompt_fails_before_any_call(
    server: FakeGateway, client: Any, wrong: dict[str, str]
) -> None:
    with pytest.raises(errors.InvalidArgument, match="no such task or kind of prompt"):
        await settled(client.models(**wrong))
    assert server.calls == []


def test_both_clients_have_the_same_names() -> None:
    def public(kind: type) -> dict[str, list[str]]:
        found = inspect.getmembers(kind, inspect.isfunction)
        return {name: list(inspect.signature(value).parameters) for name, value in found if name[0] != "_"}

    assert public(Client) == public(AsyncClient)
    assert public(Session) == public(AsyncSession)
    assert public(Interaction) == public(AsyncInteraction)
