"""Whatever a caller sends is refused in words, as text, with a code that ITK-SNAP takes for an error."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.authentication.token_editing import NewEntry, add_entry, new_token, token_digest
from gateway.authentication.token_file import EntryKind
from gateway.core.access import Role
from gateway.server import Gateway
from gateway.triton.local.server import LocalTriton
from sixpoint.geometry import Geometry
from sixpoint.volume import Volume
from tests.gateway.http.itksnap.snap_client import SnapClient, SnapError, encode_image
from tests.gateway.http.sites import HttpSite
from tests.support.images import noisy_volume
from tests.support.servers import running_gateway

IMAGE = noisy_volume()
INSIDE = (20, 17, 16)


@pytest.fixture(scope="module")
def own_gateway(triton: LocalTriton) -> Iterator[Gateway]:
    """A gateway whose sessions disturb no other test."""
    with running_gateway(triton_url=triton.address, http_port=0) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def client(own_gateway: Gateway) -> SnapClient:
    client = SnapClient(HttpSite.of(own_gateway, "/itksnap").url)
    client.show(IMAGE)
    return client


def refused(client: SnapClient, method: str, path: str, **options: object) -> SnapError:
    with pytest.raises(SnapError) as caught:
        client._send(method, path, **options)
    assert 400 <= caught.value.code < 500
    assert not str(caught.value).startswith("{")
    return caught.value


def raw(voxels: bytes, **metadata: object) -> dict[str, object]:
    return {"file": ("image.gz", voxels, "application/gzip"), "metadata": encode_image(IMAGE, **metadata)["metadata"]}


FLOATS = IMAGE.array.astype("<f4").tobytes()


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (raw(gzip.compress(FLOATS), spacing=None), "metadata.spacing is missing, and no value is assumed"),
        (raw(gzip.compress(FLOATS), direction=None), "metadata.direction is missing"),
        (raw(gzip.compress(FLOATS), spacing=[0, 1, 1]), "must be positive"),
        (raw(gzip.compress(FLOATS), spacing=[1, "1", 1]), "something else than numbers"),
        (raw(gzip.compress(FLOATS), spacing=[1e400, 1, 1]), "not finite"),
        (raw(gzip.compress(FLOATS), origin=[10**400, 0, 0]), "metadata.origin has a number that is too large"),
        (raw(gzip.compress(FLOATS), direction=[1] * 9), "orthogonal"),
        (raw(gzip.compress(FLOATS), direction=[1, 0]), "needs 9 numbers"),
        (raw(gzip.compress(FLOATS), dimensions=[40, 36]), "has 2 numbers; expected the voxels along x, y and z"),
        (raw(gzip.compress(FLOATS), dimensions=[40, 36, 32.0]), "has 3 numbers; expected the voxels"),
        (raw(gzip.compress(FLOATS), dimensions=[40, 36, -32]), "must be positive"),
        (raw(gzip.compress(FLOATS), dimensions=[1, 36 * 40, 32]), "at least two voxels along each axis"),
        (raw(gzip.compress(FLOATS), dimensions=[10**6] * 3), "metadata"),
        (raw(gzip.compress(FLOATS), dimensions=[30_000] * 3, spacing=[0.01] * 3), "too large for this gateway"),
        (raw(gzip.compress(FLOATS), components_per_pixel=3), "several numbers per voxel"),
        (raw(gzip.compress(FLOATS), component_type="int16"), "another type than float32"),
        (raw(FLOATS), "no gzip stream"),
        (raw(b""), "ended early"),
        (raw(gzip.compress(FLOATS)[:-9]), "ended early"),
        (raw(gzip.compress(FLOATS) + b"x"), "goes on behind the end"),
        (raw(gzip.compress(FLOATS[:-4])), "metadata.dimensions makes"),
        (raw(gzip.compress(FLOATS + b"\0" * 4)), "more voxels than metadata.dimensions"),
        (raw(gzip.compress(b"\0" * 2**27)), "more voxels than metadata.dimensions"),
        (raw(gzip.compress(np.full(IMAGE.array.shape, np.nan, "<f4").tobytes())), "NaN"),
        ({"metadata": (None, b"{}")}, "several numbers per voxel"),
        ({"metadata": (None, b"[1]")}, "JSON list"),
        ({"metadata": (None, b"{" * 9000)}, "no JSON"),
        ({"metadata": encode_image(IMAGE)["metadata"]}, "has no file"),
    ],
)
def test_images(own_gateway: Gateway, client: SnapClient, files: dict[str, object], words: str) -> None:
    error = refused(client, "POST", f"upload_raw/{client.session}", files=files)
    if words != "metadata":
        assert words in str(error)
    assert not list((own_gateway._settings.cache_folder / "http").iterdir())


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", "has no point"),
        ("point=1&point=2", "three whole numbers"),
        ("point=1&point=2&point=3&point=4", "three whole numbers"),
        ("point=1.5&point=2&point=3", "three whole numbers"),
        ("x=1&y=2", "three whole numbers"),
        (f"point={'9' * 500}&point=2&point=3", "three whole numbers"),
        ("point=1&point=2&point=3&foreground=maybe", "expected true or false"),
        ("point=40&point=2&point=3&foreground=true", "outside the image"),
        ("point=-1&point=2&point=3&foreground=true", "outside the image"),
    ],
)
def test_points(client: SnapClient, query: str, words: str) -> None:
    assert words in str(refused(client, "GET", f"v2/process_point_interaction/{client.session}?{query}"))


def test_the_image_before_a_damaged_one_stays(client: SnapClient) -> None:
    refused(client, "POST", f"upload_raw/{client.session}", files=raw(b""))
    assert client.point(INSIDE).any()


def test_a_negative_point_begins_nothing(client: SnapClient) -> None:
    client.reset()
    with pytest.raises(SnapError) as caught:
        client.point(INSIDE, foreground=False)
    assert caught.value.code == 409
    # The earlier form of the address.
    x, y, z = INSIDE
    path = f"process_point_interaction/{client.session}?x={x}&y={y}&z={z}&foreground=true"
    assert client._mask(client._json("GET", path)).any()


def test_sessions(client: SnapClient) -> None:
    assert "there are: annotation, clicks" in str(refused(client, "GET", "v2/start_session/none"))
    assert "choose the server in ITK-SNAP again" in str(refused(client, "GET", "v2/reset_interactions/x"))
    fresh = client._json("GET", "start_session")["session_id"]
    assert "no image came" in str(refused(client, "GET", f"process_point_interaction/{fresh}?point=1&point=2&point=3"))
    assert client._json("GET", f"reset_interactions/{fresh}") == {"status": "success"}
    assert client._json("GET", f"end_session/{fresh}") == {"message": "Session ended"}
    ended = SnapClient(client.url)
    ended.show(IMAGE)
    ended._send("GET", f"v2/end_session/{ended.session}")
    for path in (
        f"process_point_interaction/{ended.session}?point=1&point=2&point=3",
        f"reset_interactions/{ended.session}",
    ):
        assert refused(client, "GET", path).code == 404
    ended.show(IMAGE)
    assert ended.point(INSIDE).any()
    with pytest.raises(SnapError, match="does not take this method"):
        client._send("POST", "v2/start_session/annotation")


@pytest.fixture(scope="module")
def guarded(triton: LocalTriton, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, SnapClient]]:
    path, tokens = tmp_path_factory.mktemp("tokens") / "tokens.toml", {}
    for name, tenant, role in (
        ("anna", "clinic-a", Role.ANNOTATOR),
        ("ben", "clinic-a", Role.ANNOTATOR),
        ("zoe", "clinic-z", Role.ADMIN),
        ("viewer", "clinic-a", Role.VIEWER),
    ):
        tokens[name] = new_token()
        entry = NewEntry(name, EntryKind.PATH, name, tenant, role, None)
        add_entry(path, entry, key=token_digest(tokens[name]))
    options: dict[str, Any] = {"auth": "tokens", "tokens_file": str(path), "path_tokens": True}
    with running_gateway(triton_url=triton.address, http_port=0, **options) as gateway:
        site = HttpSite.of(gateway, "").url
        # As the token is typed into the field of the server.
        yield {name: SnapClient(f"{site}/t/{token}/itksnap:80") for name, token in tokens.items()} | {
            "nobody": SnapClient(f"{site}/itksnap")
        }


def test_who_may_do_what(guarded: dict[str, SnapClient]) -> None:
    anna, viewer, nobody = guarded["anna"], guarded["viewer"], guarded["nobody"]
    assert nobody._json("GET", "status")["status"] == "ok"
    assert refused(nobody, "GET", "v2/models").code == 401
    assert "annotation" in viewer.connect()
    assert refused(viewer, "GET", "v2/start_session/annotation").code == 403
    anna.show(IMAGE)
    assert anna.point(INSIDE).any()
    # Somebody else's session is none, of the same tenant or another one.
    for other in (guarded["ben"], guarded["zoe"]):
        for path in (f"process_point_interaction/{anna.session}?point=1&point=2&point=3&foreground=true",):
            assert "no image came" in str(refused(other, "GET", path))
        other._send("GET", f"end_session/{anna.session}")
    assert anna.point((8, 17, 16)).any()


def test_bodies(client: SnapClient) -> None:
    path = f"upload_raw/{client.session}"
    assert "no form" in str(refused(client, "POST", path, content=b"x"))
    for kind in ("scribble", "lasso"):
        for value, size, words in (
            (0.0, IMAGE.geometry.size, f"{kind}"),
            (np.nan, IMAGE.geometry.size, f"{kind}"),
            (1.0, (8, 8, 8), "send the image again"),
        ):
            drawn = np.full(size[::-1], value, np.float32)
            form = encode_image(Volume(drawn, Geometry(size=size)))
            error = refused(client, "POST", f"process_{kind}_interaction/{client.session}?foreground=true", files=form)
            assert words in str(error)
        path = f"process_{kind}_interaction/{client.session}?foreground=true"
        assert "no gzip stream" in str(refused(client, "POST", path, files=raw(FLOATS)))
        assert "has no file" in str(refused(client, "POST", path, files={"metadata": encode_image(IMAGE)["metadata"]}))
    everywhere = encode_image(Volume(np.ones(IMAGE.array.shape, np.float32), IMAGE.geometry))
    path = f"process_lasso_interaction/{client.session}?foreground=true"
    assert "lies on several slices" in str(refused(client, "POST", path, files=everywhere))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    metadata=st.dictionaries(
        st.sampled_from(["dimensions", "spacing", "origin", "direction", "components_per_pixel", "component_type"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda values: st.lists(values, max_size=10),
            max_leaves=10,
        ),
    ),
    voxels=st.binary(max_size=200) | st.just(gzip.compress(FLOATS)),
)
def test_any_form_is_answered(client: SnapClient, metadata: dict[str, object], voxels: bytes) -> None:
    base = json.loads(encode_image(IMAGE)["metadata"][1])
    text = json.dumps(base | metadata).encode()
    files = {"file": ("image.gz", voxels, "application/gzip"), "metadata": (None, text, "application/json")}
    with httpx.Client(trust_env=False, timeout=60) as http:
        answer = http.post(f"{client.url}/upload_raw/{client.session}", files=files)
    assert answer.status_code in (200, 400, 413, 429)


def test_an_image_of_one_value(client: SnapClient) -> None:
    client.show(Volume(np.zeros((16, 16, 16), np.int16), noisy_volume((16, 16, 16)).geometry))
    assert client.point((8, 8, 8)).shape == (16, 16, 16)
    client.show(IMAGE)
