"""A token is in no repr, error, log or traceback."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from sixpoint import errors
from sixpoint.client import Client, Retry, Timeout
from tests.sixpoint.client.fake_gateway import EACH_CLIENT, settled
from tests.sixpoint.client.tokens.guarded_gateway import GuardedGateway
from tests.sixpoint.client.tokens.talkative import everything
from tests.support.images import noisy_volume
from tests.support.ports import free_port

TOKEN = "sxp_7h15-15-4-s3cr3t"


@EACH_CLIENT
@pytest.mark.parametrize("fault", ["refused", "away", "late", "stream"])
async def test_a_failure_does_not_show_the_token(
    guarded: GuardedGateway,
    kind: Any,
    fault: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    address = f"127.0.0.1:{free_port()}" if fault == "away" else guarded.address
    timeout = Timeout(call=0.2 if fault == "late" else 10)
    client = kind(address, token=TOKEN, retry=Retry.none(), timeout=timeout)
    if fault == "late":
        guarded.may_answer.clear()
    elif fault != "away":
        guarded.accepts = lambda name, token: name != ("UploadImage" if fault == "stream" else "ListModels")
    with pytest.raises(errors.SixpointError) as caught:
        await settled(client.upload(noisy_volume()) if fault == "stream" else client.models())
    guarded.may_answer.set()
    text = everything(caught.value)
    assert "driver.py" in text
    assert TOKEN not in text
    await settled(client.close())
    assert TOKEN not in caplog.text
    assert TOKEN not in "".join(capfd.readouterr())


def test_no_repr_shows_the_token() -> None:
    client = Client(token=TOKEN)
    for shown in (client, client._driver, client._tokens, vars(client), vars(client._driver), vars(client._tokens)):
        assert TOKEN not in repr(shown)
    assert TOKEN not in repr(client._driver._with_token(TOKEN))
    client.close()
