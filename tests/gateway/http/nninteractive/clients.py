"""nnInteractive's own client, unmodified, at a gateway."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import httpx
import numpy as np
import pytest
from nnInteractive.inference.remote.remote_session import nnInteractiveRemoteInferenceSession as RemoteSession

from gateway.server import Gateway
from sixpoint._typing import Array
from sixpoint.volume import Volume

__all__ = ["RemoteSession", "backwards", "door", "half_open", "initialise", "opened", "refused"]


def door(gateway: Gateway, model: str = "annotation") -> str:
    return f"http://127.0.0.1:{gateway.http_ports['http']}/nninteractive/{model}"


@contextlib.contextmanager
def opened(gateway: Gateway, image: Volume) -> Iterator[tuple[RemoteSession, Array]]:
    """A client with an image, as viewers send it, and its mask."""
    with RemoteSession(door(gateway)) as client:
        yield client, initialise(client, image)


def initialise(client: RemoteSession, image: Volume) -> Array:
    client.set_image(image.array[None], {"spacing": backwards(image.geometry.spacing)})
    mask = np.zeros(image.array.shape, np.uint8)
    client.set_target_buffer(mask)
    return mask


def backwards(values: tuple[float, ...]) -> list[float]:
    """Values along (x, y, z) along the client's axes."""
    return list(values[::-1])


def half_open(lower: tuple[int, ...], upper: tuple[int, ...]) -> list[list[int]]:
    """A box of voxels (x, y, z) as clients send it."""
    return [[a, b + 1] for a, b in zip(lower[::-1], upper[::-1], strict=True)]


def refused(call: Callable[[], object]) -> tuple[int, str]:
    """Code and words with which a call is refused."""
    with pytest.raises(httpx.HTTPStatusError) as failure:
        call()
    return failure.value.response.status_code, failure.value.response.json()["detail"]
