"""What ITK-SNAP outlines: masks of gRPC, to the bit, for each object in its own segment."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sixpoint
from gateway.http.windows.beginning import take_prompt
from gateway.server import Gateway
from gateway.triton.local.server import LocalTriton
from sixpoint._typing import Array
from sixpoint.geometry import Geometry
from sixpoint.model_spec import PromptKind
from sixpoint.prompts import Box, Click, ExtremePoints, Lasso, Prompt, Scribble
from sixpoint.volume import Volume
from tests.gateway.http.itksnap.snap_client import SnapClient, full_url
from tests.gateway.http.objects import masks_step_by_step
from tests.support.images import noisy_volume
from tests.support.models import DEAF_SPEC
from tests.support.servers import running_gateway

INSIDE, ADDED, TAKEN = (20, 17, 16), (8, 17, 16), (26, 17, 16)
# An oblique image whose axes run leftwards, downwards and backwards.
OBLIQUE = Geometry(
    size=(40, 36, 32), spacing=(0.7, 0.9, 2.5), origin=(12.5, -80, 33), direction=(0, 0.6, 0.8, -1, 0, 0, 0, -0.8, 0.6)
)


def snap(gateway: Gateway, path: str = "") -> SnapClient:
    port = gateway.http_ports["http"]
    return SnapClient(full_url(f"127.0.0.1:{port}{path}", 80) if path else full_url("127.0.0.1", port))


@pytest.fixture(params=["plain", "oblique", "fractions"])
def image(request: pytest.FixtureRequest) -> Volume:
    plain = noisy_volume((42, 36, 29))
    if request.param == "fractions":
        return Volume(plain.array.astype(np.float32) / 3, plain.geometry)
    return Volume(plain.array, replace(OBLIQUE, size=(42, 36, 29))) if request.param == "oblique" else plain


def test_clicks_give_the_masks_of_grpc(http_gateway: Gateway, image: Volume) -> None:
    client = snap(http_gateway)
    assert "point" in client.connect()["annotation"]
    client.show(image)
    masks = [client.point(INSIDE), client.point(ADDED), client.point(TAKEN, foreground=False)]
    expected = masks_step_by_step(http_gateway, image, [Click(INSIDE), Click(ADDED), Click(TAKEN, False)])
    with sixpoint.Client(f"127.0.0.1:{http_gateway.port}") as ours:
        # Whole numbers are stored as such: it is the image of this name.
        (listed,) = (each for each in ours.sessions() if each.image_digest == image.digest)
        assert [(segment.number, segment.steps) for segment in listed.segments] == [(1, 3)]
    for mask, wanted in zip(masks, expected, strict=True):
        assert np.array_equal(mask, wanted)
    assert len({mask.tobytes() for mask in masks}) == 3
    assert masks[2].any()


def test_each_label_is_a_segment(http_gateway: Gateway) -> None:
    image = noisy_volume((42, 36, 31))
    client = snap(http_gateway)
    client.show(image)
    first = client.point(INSIDE)
    client.reset()
    client.reset()
    second = client.point(INSIDE)
    assert np.array_equal(first, second)
    with sixpoint.Client(f"127.0.0.1:{http_gateway.port}") as ours:
        (session,) = (each for each in ours.sessions() if each.image_digest == image.digest)
        assert [(each.number, each.name, each.steps) for each in session.segments] == [(1, "", 1), (2, "object 2", 1)]
    # Another image, then the first one again: each time a new object.
    other = noisy_volume((42, 36, 30))
    client.show(other)
    assert client.point(INSIDE).shape == other.array.shape
    client.show(image)
    client.point(INSIDE)
    with sixpoint.Client(f"127.0.0.1:{http_gateway.port}") as ours:
        counts = {
            digest: [len(each.segments) for each in ours.sessions() if each.image_digest == digest]
            for digest in (image.digest, other.digest)
        }
    assert sorted(counts[image.digest]) == [1, 2]
    assert counts[other.digest] == [1]


def test_another_model_has_a_session_of_its_own(http_gateway: Gateway) -> None:
    client = snap(http_gateway)
    client.show(noisy_volume(), model="clicks")
    mask = client.point(INSIDE)
    with (
        sixpoint.Client(f"127.0.0.1:{http_gateway.port}") as ours,
        ours.open_session(noisy_volume(), model="clicks") as session,
    ):
        begin = take_prompt(Click(INSIDE), [], noisy_volume().geometry, DEAF_SPEC)
        assert np.array_equal(mask, session.annotate(*begin).array)
    client.show(noisy_volume(), model="annotation")
    assert client.session.startswith("annotation.")


def test_a_session_goes_on_at_another_gateway(triton: LocalTriton, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"triton_url": triton.address, "http_port": 0, "state_folder": tmp_path / "state"}
    image, session, masks = noisy_volume(), "", list[bytes]()
    for voxel in (INSIDE, ADDED):
        with running_gateway(**settings) as gateway:
            client = snap(gateway)
            client.session, client.size = session, image.geometry.size
            if not session:
                client.show(noisy_volume((42, 36, 30)))
                client.show(image)
            masks.append(client.point(voxel).tobytes())
            session = client.session
            with sixpoint.Client(f"127.0.0.1:{gateway.port}") as ours:
                steps = [segment.steps for each in ours.sessions() for segment in each.segments]
    assert steps == [2]
    assert masks[0] != masks[1]


def test_an_address_with_a_path_in_the_field_of_the_server(http_gateway: Gateway) -> None:
    for path in ("/itksnap", "/itksnap/"[:-1]):
        client = snap(http_gateway, path)
        assert client.url.endswith("/itksnap:80")
        assert "annotation" in client.connect()
        client.show(noisy_volume())
        assert client.point(INSIDE).any()


@pytest.mark.parametrize(
    ("host", "scheme", "server", "port"),
    [
        ("127.0.0.1:8000", "http", "127.0.0.1", 8000),
        ("gateway.example", "https", "gateway.example", 443),
        ("gateway.example:8443", "https", "gateway.example:8443/itksnap", 443),
    ],
)
def test_the_page_says_what_to_type(http_gateway: Gateway, host: str, scheme: str, server: str, port: int) -> None:
    client = snap(http_gateway)
    headers = {"x-forwarded-host": host, "x-forwarded-proto": scheme}
    assert f"\n  Server: {server}\n  Port: {port}\n" in client._send("GET", "itksnap", headers=headers).text
    assert full_url(server, port).startswith(f"{scheme}://{host}")


def test_a_cube_round_the_point_begins_an_object() -> None:
    geometry = Geometry(size=(200, 200, 10), spacing=(1, 2, 5))
    click, cube = Click((100, 3, 9)), Box((70, 0, 1), (130, 18, 9))
    assert take_prompt(click, [], geometry, DEAF_SPEC) == [cube, click]
    for alone in (Click((100, 3, 9), False), Click((200, 3, 9))):
        assert take_prompt(alone, [], geometry, DEAF_SPEC) == [alone]
    clicks_only = DEAF_SPEC.model_copy(update={"prompts": (PromptKind.CLICKS,)})
    assert take_prompt(click, [], geometry, clicks_only) == [click]
    points_only = DEAF_SPEC.model_copy(update={"prompts": (PromptKind.EXTREME_POINTS, PromptKind.CLICKS)})
    points, _ = take_prompt(click, [], geometry, points_only)
    assert isinstance(points, ExtremePoints)
    assert sorted(points.points)[0] == (70, 9, 5)
    flat, corner = Geometry(size=(2, 2, 2)), Click((1, 1, 1))
    assert take_prompt(corner, [], flat, DEAF_SPEC) == [Box((0, 0, 0), (1, 1, 1)), corner]


def test_a_point_outside_of_what_an_object_began_with_begins_it_anew() -> None:
    geometry = Geometry(size=(200, 200, 200))
    first, second, third = Click((100, 100, 100)), Click((160, 100, 100)), Click((150, 100, 100))
    taken, away = Click((100, 90, 100), False), Click((10, 10, 10), False)
    steps = take_prompt(first, [], geometry, DEAF_SPEC)
    assert take_prompt(taken, steps, geometry, DEAF_SPEC) == [taken]
    assert take_prompt(away, steps, geometry, DEAF_SPEC) == [away]
    steps.append(taken)
    grown = take_prompt(second, steps, geometry, DEAF_SPEC)
    assert grown == [Box((70, 70, 70), (190, 130, 130)), first, taken, second]
    assert take_prompt(third, [*steps, *grown], geometry, DEAF_SPEC) == [third]
    fourth = Click((100, 180, 100))
    again = take_prompt(fourth, [*steps, *grown, third], geometry, DEAF_SPEC)
    assert again == [Box((70, 70, 70), (190, 199, 130)), first, taken, second, third, fourth]


def drawing(image: Volume, mask: Array) -> Volume:
    """What ITK-SNAP sends of a stroke: an image of 0 and the number of the label."""
    return Volume(mask.astype(np.float32) * 3, image.geometry)


@pytest.mark.parametrize("geometry", ["plain", "oblique"])
def test_strokes_give_the_masks_of_grpc(http_gateway: Gateway, geometry: str) -> None:
    image = noisy_volume((42, 36, 28))
    if geometry == "oblique":
        image = Volume(image.array, replace(OBLIQUE, size=(42, 36, 28)))
    client = snap(http_gateway)
    assert client.connect()["nnInteractive"] == client.connect()["annotation"] == ["point", "scribble", "lasso"]
    line, area = np.zeros(image.array.shape, np.uint8), np.zeros(image.array.shape, np.uint8)
    line[14, 10:24, 20], area[14, 10:28, 12:30] = 1, 1
    client.show(image, model="nnInteractive")
    masks = [
        client.stroke("lasso", drawing(image, area)),
        client.stroke("scribble", drawing(image, line), foreground=False),
    ]
    client.reset()
    masks += [client.stroke("scribble", drawing(image, line)), client.point(ADDED)]
    scribble, negative = (Scribble(np.argwhere(line)[:, ::-1], positive) for positive in (True, False))
    expected = masks_step_by_step(http_gateway, image, [negative], begin=[Lasso.of_mask(area)])
    with sixpoint.Client(f"127.0.0.1:{http_gateway.port}") as ours, ours.open_session(image) as session:
        expected.insert(0, session.annotate(Lasso.of_mask(area)).array)
    expected += masks_step_by_step(http_gateway, image, [scribble, Click(ADDED)])
    for mask, wanted in zip(masks, expected, strict=True):
        assert np.array_equal(mask, wanted)
    assert masks[0][area > 0].all()
    assert not masks[1][line > 0].any()
    assert masks[2][line > 0].all()


def test_a_scribble_begins_an_object_and_makes_it_larger() -> None:
    geometry = Geometry(size=(200, 200, 200))
    line = Scribble(np.stack([np.arange(90, 141), np.full(51, 100), np.full(51, 100)], axis=1))
    begun: list[Prompt] = [Box((85, 70, 70), (145, 130, 130)), line]
    assert take_prompt(line, [], geometry, DEAF_SPEC) == begun
    negative = Scribble([(10, 10, 10)], False)
    assert take_prompt(negative, begun, geometry, DEAF_SPEC) == [negative]
    far = Scribble([(100, 150, 100)])
    assert take_prompt(far, begun, geometry, DEAF_SPEC) == [Box((70, 70, 70), (145, 180, 130)), line, far]
    near = Scribble([(100, 120, 100)])
    assert take_prompt(near, begun, geometry, DEAF_SPEC) == [near]
    lasso = Lasso.of_mask(np.ones((1, 8, 8), np.uint8))
    assert take_prompt(far, [lasso], geometry, DEAF_SPEC) == [far]
