"""Masks over gRPC of an object that a person begins by a click or a scribble, as all doors should give them."""

from __future__ import annotations

from collections.abc import Sequence

import sixpoint
from gateway.http.windows.beginning import take_prompt
from gateway.server import Gateway
from sixpoint._typing import Array
from sixpoint.mask import pack
from sixpoint.prompts import Click, Prompt, Scribble
from sixpoint.volume import Volume
from tests.support.models import DEAF_SPEC

__all__ = ["masks_step_by_step"]


def masks_step_by_step(
    gateway: Gateway, image: Volume, drawn: Sequence[Click | Scribble], *, begin: Sequence[Prompt] = ()
) -> list[Array]:
    """The mask after each prompt that is drawn, with the model ``annotation``.

    Args:
        gateway: The gateway.
        image: The image.
        drawn: Clicks and scribbles, in order.
        begin: Prompts with which the object begins, in place of what the first one that is drawn begins.
    """
    earlier, masks = list(begin), list[Array]()
    with (
        sixpoint.Client(f"127.0.0.1:{gateway.port}") as client,
        client.open_session(image, model="annotation") as session,
    ):
        so_far = session.annotate(*begin).array if begin else None
        for each in drawn:
            mask = None if so_far is None else pack(so_far > 0, (0, 0, 0))
            step = take_prompt(each, earlier, image.geometry, DEAF_SPEC, mask=mask)
            so_far = session.annotate(*step).array
            masks.append(so_far)
            earlier += step
    return masks
