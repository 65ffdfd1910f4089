"""No public host redirects a download into a private network."""

from __future__ import annotations

import httpx
import pytest

from exporter.hub.download import open_client
from sixpoint.errors import InvalidArgument

PUBLIC = "http://93.184.215.14/model.zip"


def client(target: str) -> httpx.Client:
    """A client whose first answer redirects to ``target``."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url == target:
            return httpx.Response(200, content=b"secret")
        return httpx.Response(302, headers={"Location": target})

    opened = open_client()
    hooks = opened.event_hooks
    opened.close()
    return httpx.Client(transport=httpx.MockTransport(answer), follow_redirects=True, event_hooks=hooks)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "169.254.169.254",
        "10.1.2.3",
        "192.168.0.1",
        "[::1]",
        "[fe80::1]",
        "[::ffff:127.0.0.1]",
    ],
)
def test_a_redirect_to_an_inner_address_is_refused(host: str) -> None:
    with pytest.raises(InvalidArgument, match=r"93\.184\.215\.14 redirects to .* inside a private network"):
        client(f"http://{host}/latest/meta-data").get(PUBLIC)


def test_other_redirects_are_followed() -> None:
    assert client("http://93.184.215.15/a").get(PUBLIC).content == b"secret"
    assert client("http://127.0.0.1:8000/a").get("http://127.0.0.1/model.zip").content == b"secret"
