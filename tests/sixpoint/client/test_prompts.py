"""What is no prompt is refused at once, by every method that takes prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sixpoint import AsyncSession, ExtremePoints, Mask, Retry, Session
from sixpoint.errors import PromptError
from tests.sixpoint.client.fake_gateway import EACH_CLIENT, POINTS, settled
from tests.sixpoint.client.session_gateway import SessionGateway
from tests.support.images import noisy_volume

NO_PROMPTS = [
    ("x", "got str: sixpoint.read_points"),
    (Path("points.json"), "got .*Path: sixpoint.read_points"),
    ([POINTS], r"got list: .* one by one: annotate\(\*prompts\)"),
    ([(1, 2, 3)], r"give points as sixpoint.ExtremePoints\(points\)"),
    (np.ones((3, 3, 3)), r"got ndarray: give sixpoint.InitialMask.of\(mask\)"),
    (Mask(np.ones((3, 3, 3), np.uint8), noisy_volume().geometry), r"got Mask: give sixpoint.InitialMask.of\(mask\)"),
    (ExtremePoints, "got type: see sixpoint.Prompt"),
    (None, "got NoneType"),
    (7, "got int"),
]


async def send(session: Session | AsyncSession, prompt: Any) -> None:
    if isinstance(session, Session):
        with session.interact() as stream:
            stream.send(prompt)
    else:
        async with session.interact() as asynchronous:
            await asynchronous.send(prompt)


@EACH_CLIENT
@pytest.mark.parametrize(("wrong", "message"), NO_PROMPTS, ids=lambda value: type(value).__name__)
async def test_what_is_no_prompt_is_refused_before_any_call(
    stepping: SessionGateway, kind: Any, wrong: Any, message: str
) -> None:
    client = kind(stepping.address, retry=Retry.none())
    session: Session | AsyncSession = await settled(client.open_session(noisy_volume()))
    calls = len(stepping.calls)
    for prompts in ((wrong,), (POINTS, wrong)):
        with pytest.raises(PromptError, match=message):
            await settled(session.annotate(*prompts))
    with pytest.raises(PromptError, match=message):
        await send(session, wrong)
    with pytest.raises(PromptError, match="three finite numbers"):
        await settled(session.click(wrong))
    assert "Annotate" not in stepping.calls[calls:]
    await settled(client.close())


def test_an_argument_of_another_type_is_a_prompt_error() -> None:
    for frame in (None, 5, ("voxel",)):
        with pytest.raises(PromptError, match="unknown frame"):
            ExtremePoints([(1, 2, 3)] * 6, frame=frame)  # type: ignore[arg-type]
    with pytest.raises(PromptError, match="expected a sequence of points"):
        ExtremePoints("points.json")  # type: ignore[arg-type]
    with pytest.raises(PromptError, match="point 0: expected three finite numbers"):
        ExtremePoints(7)  # type: ignore[arg-type]
