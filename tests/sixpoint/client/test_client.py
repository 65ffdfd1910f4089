"""Both clients against a small server of the tests' own: no gateway and no Triton."""

from __future__ import annotations

import hashlib
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
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
from sixpoint.client._operations.upload import upload_messages
from sixpoint.errors import SixpointError, Violation
from sixpoint.mask import PackedMask, Timings, pack
from sixpoint.prompts import Box, Click, ExtremePoints, Frame
from sixpoint.protocol import (
    DETAILS_KEY,
    error_to_status,
    geometry_to_message,
    mask_to_message,
    prompt_to_message,
    status_code,
    timings_to_message,
)
from sixpoint.v1 import annotation_service_pb2 as annotation
from sixpoint.v1 import annotation_service_pb2_grpc as annotation_grpc
from sixpoint.v1 import image_service_pb2 as images
from sixpoint.v1 import image_service_pb2_grpc as images_grpc
from sixpoint.v1 import model_service_pb2 as models
from sixpoint.v1 import model_service_pb2_grpc as models_grpc
from sixpoint.v1 import session_service_pb2 as sessions
from sixpoint.v1 import session_service_pb2_grpc as sessions_grpc
from tests.support.images import noisy_volume
from tests.support.ports import free_port

MIB = 2**20
POINTS = ExtremePoints([(5, 18, 16), (35, 18, 16), (20, 5, 16), (20, 31, 16), (20, 18, 4), (20, 18, 28)])
TIMINGS = Timings(*(timedelta(milliseconds=n) for n in (1, 2, 3, 4, 5)))
# Of 2.5 MiB: two whole chunks and a half.
LARGE = (128, 128, 80)
BOTH = pytest.mark.parametrize("kind", [Client, AsyncClient], ids=["blocking", "asyncio"])
AnyClient = Any


def patch() -> PackedMask:
    return pack(np.random.default_rng(1).random((6, 5, 4)) > 0.5, (10, 11, 12))


class Server(
    models_grpc.ModelServiceServicer,
    images_grpc.ImageServiceServicer,
    sessions_grpc.SessionServiceServicer,
    annotation_grpc.AnnotationServiceServicer,
):
    """Answers every call, remembers what it was asked, and fails as it is told."""

    def __init__(self) -> None:
        self.known: set[str] = set()
        self.calls: list[str] = []
        self.requests: dict[str, Any] = {}
        self.uploads: list[list[images.UploadImageRequest]] = []
        self.fail: dict[str, SixpointError] = {}
        self.mask = mask_to_message(patch())
        self.revision = 0
        self.received = 0
        self.open: int | None = None
        self.hold = threading.Event()
        self.hold.set()
        self.address = ""
        self.stop: Callable[[], object] = lambda: None

    def _begin(self, name: str, request: Any, context: grpc.ServicerContext) -> None:
        self.calls.append(name)
        self.requests[name] = request
        if name in self.fail:
            self._abort(self.fail[name], context)

    @staticmethod
    def _abort(error: SixpointError, context: grpc.ServicerContext) -> None:
        context.set_trailing_metadata(((DETAILS_KEY, error_to_status(error).SerializeToString()),))
        context.abort(status_code(error), error.message)

    def ListModels(self, request: Any, context: grpc.ServicerContext) -> models.ListModelsResponse:  # noqa: N802
        self._begin("ListModels", request, context)
        self.hold.wait(10)
        return models.ListModelsResponse(models=[models.Model(name="annotation", version="1")])

    def GetImage(self, request: Any, context: grpc.ServicerContext) -> images.GetImageResponse:  # noqa: N802
        self._begin("GetImage", request, context)
        if request.digest not in self.known:
            self._abort(errors.ImageNotFound("no such image"), context)
        return images.GetImageResponse(image=images.Image(digest=request.digest))

    def GetUpload(self, request: Any, context: grpc.ServicerContext) -> images.GetUploadResponse:  # noqa: N802
        self._begin("GetUpload", request, context)
        return images.GetUploadResponse(received_byte_count=self.received)

    def UploadImage(self, stream: Any, context: grpc.ServicerContext) -> images.UploadImageResponse:  # noqa: N802
        self._begin("UploadImage", None, context)
        parts = list(stream)
        self.uploads.append(parts)
        self.known.add(parts[0].header.digest)
        return images.UploadImageResponse(image=parts[0].header)

    def CreateSession(self, request: Any, context: grpc.ServicerContext) -> sessions.CreateSessionResponse:  # noqa: N802
        self._begin("CreateSession", request, context)
        session = sessions.Session(id="s1", model=request.model, image_digest=request.image_digest)
        return sessions.CreateSessionResponse(session=session)

    def ListSessions(self, request: Any, context: grpc.ServicerContext) -> sessions.ListSessionsResponse:  # noqa: N802
        self._begin("ListSessions", request, context)
        return sessions.ListSessionsResponse(sessions=[sessions.Session(id="s1")], all_owners_size=self.open)

    def CloseSession(self, request: Any, context: grpc.ServicerContext) -> sessions.CloseSessionResponse:  # noqa: N802
        self._begin("CloseSession", request, context)
        return sessions.CloseSessionResponse()

    def Annotate(self, request: Any, context: grpc.ServicerContext) -> annotation.AnnotateResponse:  # noqa: N802
        self._begin("Annotate", request, context)
        self.revision += 1
        return annotation.AnnotateResponse(
            answer=annotation.Answer(
                revision=self.revision,
                mask=self.mask,
                model="annotation",
                model_version="7",
                timings=timings_to_message(TIMINGS),
            )
        )


@pytest.fixture
def server() -> Iterator[Server]:
    running = grpc.server(ThreadPoolExecutor(4))
    served = Server()
    models_grpc.add_ModelServiceServicer_to_server(served, running)
    images_grpc.add_ImageServiceServicer_to_server(served, running)
    sessions_grpc.add_SessionServiceServicer_to_server(served, running)
    annotation_grpc.add_AnnotationServiceServicer_to_server(served, running)
    served.address = f"127.0.0.1:{running.add_insecure_port('127.0.0.1:0')}"
    served.stop = lambda: running.stop(None).wait()
    running.start()
    yield served
    served.hold.set()
    served.stop()


@pytest.fixture(params=["blocking", "asyncio"])
async def client(server: Server, request: pytest.FixtureRequest) -> AsyncIterator[AnyClient]:
    """Either client, on a channel of the test's; what it returns goes through ``settled``."""
    made: AnyClient
    if request.param == "blocking":
        made = Client("not.used:1", channel=grpc.insecure_channel(server.address), retry=Retry.none())
    else:
        made = AsyncClient("not.used:1", channel=grpc.aio.insecure_channel(server.address), retry=Retry.none())
    yield made
    await settled(made.close())


async def settled(result: Any) -> Any:
    """The result of either client's method: awaited where it must be."""
    return await result if inspect.isawaitable(result) else result


# Away


@BOTH
async def test_a_target_where_nothing_answers_is_named_with_what_to_do(kind: Any) -> None:
    target = f"127.0.0.1:{free_port()}"
    client = kind(target, retry=Retry(attempts=2))
    with pytest.raises(errors.Unavailable, match=f"no gateway answers at {target} .*`make serve`") as caught:
        await settled(client.models())
    assert isinstance(caught.value.__cause__, grpc.RpcError)
    await settled(client.close())


async def test_a_gateway_that_says_it_is_away_is_not_taken_for_an_absent_one(server: Server, client: AnyClient) -> None:
    server.fail["ListModels"] = errors.Unavailable("draining", retry_after=2)
    with pytest.raises(errors.Unavailable, match=r"^draining$") as caught:
        await settled(client.models())
    assert caught.value.retry_after == 2


@BOTH
async def test_a_call_ends_at_its_deadline(server: Server, kind: Any) -> None:
    server.hold.clear()
    client = kind(server.address, timeout=Timeout(call=0.2))
    with pytest.raises(errors.DeadlineExceeded):
        await settled(client.models())
    await settled(client.close())


# Uploads


async def test_an_upload_is_its_header_and_then_the_voxels_in_order(server: Server, client: AnyClient) -> None:
    volume = noisy_volume(LARGE)
    digest = await settled(client.upload(volume))
    ((first, *chunks),) = server.uploads
    assert first.WhichOneof("part") == "header"
    assert first.header == images.Image(
        digest=digest, geometry=geometry_to_message(volume.geometry), voxel_type=3, byte_count=volume.array.nbytes
    )
    assert [part.WhichOneof("part") for part in chunks] == ["chunk"] * 3
    assert [len(part.chunk) for part in chunks] == [MIB, MIB, MIB // 2]
    assert b"".join(part.chunk for part in chunks) == volume.array.tobytes()


async def test_the_digest_is_that_of_the_contract(server: Server, client: AnyClient) -> None:
    volume = noisy_volume()
    expected = hashlib.sha256(volume.geometry.packed() + bytes([3]) + volume.array.tobytes()).hexdigest()
    assert await settled(client.upload(volume)) == expected
    assert server.requests["GetImage"].digest == expected


async def test_an_image_that_is_there_is_not_sent(server: Server, client: AnyClient) -> None:
    volume = noisy_volume()
    server.known.add(volume.digest)
    told: list[tuple[int, int]] = []
    assert await settled(client.upload(volume, progress=lambda *sent: told.append(sent))) == volume.digest
    assert (server.calls, server.uploads, told) == (["GetImage"], [], [])


async def test_the_same_image_is_sent_once(server: Server, client: AnyClient) -> None:
    assert await settled(client.upload(noisy_volume())) == await settled(client.upload(noisy_volume()))
    assert len(server.uploads) == 1


async def test_progress_rises_to_all_bytes(server: Server, client: AnyClient) -> None:
    volume = noisy_volume(LARGE)
    told: list[tuple[int, int]] = []
    await settled(client.upload(volume, progress=lambda *sent: told.append(sent)))
    total = volume.array.nbytes
    assert told == [(MIB, total), (2 * MIB, total), (total, total)]


async def test_a_file_is_read_and_sent(server: Server, client: AnyClient, tmp_path: Path) -> None:
    volume = noisy_volume()
    volume.write(tmp_path / "ct.nrrd")
    assert await settled(client.upload(tmp_path / "ct.nrrd")) == volume.digest
    assert await settled(client.upload(str(tmp_path / "ct.nrrd"))) == volume.digest


async def test_a_missing_file_fails_before_any_call(server: Server, client: AnyClient, tmp_path: Path) -> None:
    with pytest.raises(errors.VolumeError, match="no such file"):
        await settled(client.open_session(tmp_path / "ct.nii.gz"))
    assert server.calls == []


async def test_an_error_of_looking_the_image_up_starts_no_upload(server: Server, client: AnyClient) -> None:
    server.fail["GetImage"] = errors.InvalidArgument("odd digest")
    with pytest.raises(errors.InvalidArgument, match="odd digest"):
        await settled(client.upload(noisy_volume()))
    assert server.calls == ["GetImage"]


async def test_an_upload_that_is_refused_raises_what_the_server_says(server: Server, client: AnyClient) -> None:
    server.fail["UploadImage"] = errors.ResourceExhausted("too large", retry_after=3)
    with pytest.raises(errors.ResourceExhausted, match="too large") as caught:
        await settled(client.upload(noisy_volume(LARGE)))
    assert caught.value.retry_after == 3


@pytest.mark.parametrize("voxels", [1, MIB - 1, MIB, MIB + 1])
def test_chunks_meet_at_whole_mebibytes(voxels: int) -> None:
    volume = noisy_volume((voxels, 1, 1), dtype="uint8")
    header, *chunks = upload_messages(volume, "d", progress=None)
    assert header.header.byte_count == voxels
    assert [len(part.chunk) for part in chunks] == ([MIB] * (voxels // MIB) + [voxels % MIB] * (voxels % MIB > 0))


# Sessions


async def test_a_session_is_opened_on_the_image_with_the_model(server: Server, client: AnyClient) -> None:
    volume = noisy_volume()
    session = await settled(client.open_session(volume, model="spleen"))
    assert server.calls == ["GetImage", "GetUpload", "UploadImage", "CreateSession"]
    request = server.requests["CreateSession"]
    assert (request.image_digest, request.model) == (volume.digest, "spleen")
    assert request.request_id
    assert (session.id, session.model, session.revision) == ("s1", "spleen", 0)
    assert session.volume is volume


async def test_sessions_of_a_version_are_listed_and_counted(server: Server, client: AnyClient) -> None:
    server.open = 0
    assert await settled(client.count_sessions(model="m", version="2")) == 0
    assert [one.id for one in await settled(client.sessions(model="m", version="2"))] == ["s1"]
    assert (server.requests["ListSessions"].model, server.requests["ListSessions"].model_version) == ("m", "2")


async def test_a_gateway_that_ignores_the_filters_is_not_believed(server: Server, client: AnyClient) -> None:
    assert len(await settled(client.sessions())) == 1
    for asked in (client.sessions, client.count_sessions):
        with pytest.raises(errors.FailedPrecondition, match="older than this client"):
            await settled(asked(model="m"))


async def test_points_go_out_in_their_own_frame(server: Server, client: AnyClient) -> None:
    session = await settled(client.open_session(noisy_volume()))
    await settled(session.annotate(ExtremePoints(POINTS.points, Frame.RAS)))
    request = server.requests["Annotate"]
    assert request.session_id == "s1"
    (prompt,) = request.prompts
    assert prompt.extreme_points.frame == 3
    assert [(p.x, p.y, p.z) for p in prompt.extreme_points.points] == list(POINTS.points)


async def test_prompts_of_every_kind_go_out_together_in_their_order(server: Server, client: AnyClient) -> None:
    session = await settled(client.open_session(noisy_volume()))
    await settled(session.annotate(Box((1, 2, 3), (4, 5, 6)), Click((7, 8, 9)), Click((1, 1, 1), False, Frame.LPS)))
    box, first, second = server.requests["Annotate"].prompts
    assert [one.WhichOneof("kind") for one in (box, first, second)] == ["box", "click", "click"]
    assert (box.box.lower.x, box.box.upper.z) == (1, 6)
    assert (first.click.sign, second.click.sign, second.click.frame) == (1, 2, 2)


@pytest.mark.parametrize("positive", [True, False])
async def test_a_click_is_short_for_a_prompt_with_one(server: Server, client: AnyClient, positive: bool) -> None:
    session = await settled(client.open_session(noisy_volume()))
    mask = await settled(session.click((1, 2, 3), positive=positive, frame="ras"))
    (prompt,) = server.requests["Annotate"].prompts
    assert prompt == prompt_to_message(Click((1, 2, 3), positive, Frame.RAS))
    assert mask.revision == session.revision == 1


async def test_a_mask_is_on_the_images_own_grid(server: Server, client: AnyClient) -> None:
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


async def test_the_session_counts_its_answers(server: Server, client: AnyClient) -> None:
    session = await settled(client.open_session(noisy_volume()))
    for expected in (1, 2):
        await settled(session.annotate(POINTS))
        assert session.revision == expected


def _flip(message: annotation.MaskPatch) -> None:
    bits = bytearray(message.bits)
    bits[-1] ^= 1
    message.bits = bytes(bits)


def _outside(message: annotation.MaskPatch) -> None:
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
async def test_a_damaged_mask_is_never_handed_out(
    server: Server, client: AnyClient, damage: Callable[[annotation.MaskPatch], None]
) -> None:
    damage(server.mask)
    session = await settled(client.open_session(noisy_volume()))
    with pytest.raises(errors.InternalError, match="mask"):
        await settled(session.annotate(POINTS))


@pytest.mark.parametrize("kind", list(SixpointError.tree()), ids=lambda kind: kind.__name__)
async def test_what_the_server_raises_is_raised_here(
    server: Server, client: AnyClient, kind: type[SixpointError]
) -> None:
    violations = (Violation("prompts[0].points", "six"),)
    server.fail["Annotate"] = kind("said there", violations=violations, retry_after=1.5)
    server.known.add(noisy_volume().digest)
    session = await settled(client.open_session(noisy_volume()))
    with pytest.raises(SixpointError, match=r"^said there$") as caught:
        await settled(session.annotate(POINTS))
    assert type(caught.value) is kind
    assert (caught.value.violations, caught.value.retry_after) == (violations, 1.5)
    assert session.revision == 0


async def test_closing_a_session_tells_the_server(server: Server, client: AnyClient) -> None:
    session = await settled(client.open_session(noisy_volume()))
    await settled(session.close())
    assert server.requests["CloseSession"].session_id == "s1"


async def test_closing_a_session_of_a_dead_server_is_silent(server: Server, client: AnyClient) -> None:
    session = await settled(client.open_session(noisy_volume()))
    server.stop()
    await settled(session.close())
    assert "CloseSession" not in server.calls


async def test_closing_a_session_after_its_client_is_silent(server: Server, client: AnyClient) -> None:
    session = await settled(client.open_session(noisy_volume(), model="annotation"))
    await settled(client.close())
    await settled(session.close())
    assert "CloseSession" not in server.calls


async def test_closing_a_session_that_the_server_fails_to_close_is_silent(server: Server, client: AnyClient) -> None:
    server.fail["CloseSession"] = errors.InternalError("torn")
    session = await settled(client.open_session(noisy_volume()))
    await settled(session.close())
    assert server.calls[-1] == "CloseSession"


def test_leaving_the_block_closes_session_and_channel(server: Server) -> None:
    with Client(server.address) as client, client.open_session(noisy_volume()):
        assert "CloseSession" not in server.calls
    assert server.calls[-1] == "CloseSession"
    with pytest.raises(ValueError, match="closed channel"):
        client.models()


async def test_leaving_the_asynchronous_block_closes_session_and_channel(server: Server) -> None:
    async with AsyncClient(server.address) as client, await client.open_session(noisy_volume()):
        assert "CloseSession" not in server.calls
    assert server.calls[-1] == "CloseSession"
    with pytest.raises(grpc.aio.UsageError):
        await client.models()


async def test_an_error_inside_the_block_still_closes_the_session(server: Server) -> None:
    with (
        pytest.raises(RuntimeError, match="mine"),
        Client(server.address) as client,
        client.open_session(noisy_volume()),
    ):
        raise RuntimeError("mine")
    assert server.calls[-1] == "CloseSession"


# Models


async def test_filters_travel(server: Server, client: AnyClient) -> None:
    await settled(client.models(label="spleen", task="annotation", modality="CT", prompt="extreme_points"))
    assert server.requests["ListModels"] == models.ListModelsRequest(
        label="spleen", task=models.TASK_ANNOTATION, modality="CT", prompt_kind=models.PROMPT_KIND_EXTREME_POINTS
    )


async def test_no_filters_ask_for_all(server: Server, client: AnyClient) -> None:
    assert [model.name for model in await settled(client.models())] == ["annotation"]
    assert server.requests["ListModels"] == models.ListModelsRequest()


@pytest.mark.parametrize("wrong", [{"task": "guessing"}, {"prompt": "telepathy"}])
async def test_an_unknown_task_or_prompt_fails_before_any_call(
    server: Server, client: AnyClient, wrong: dict[str, str]
) -> None:
    with pytest.raises(errors.InvalidArgument, match="no such task or kind of prompt"):
        await settled(client.models(**wrong))
    assert server.calls == []


# Reading


def test_both_clients_have_the_same_names() -> None:
    def public(kind: type) -> dict[str, list[str]]:
        found = inspect.getmembers(kind, inspect.isfunction)
        return {name: list(inspect.signature(value).parameters) for name, value in found if name[0] != "_"}

    assert public(Client) == public(AsyncClient)
    assert public(Session) == public(AsyncSession)
    assert public(Interaction) == public(AsyncInteraction)
