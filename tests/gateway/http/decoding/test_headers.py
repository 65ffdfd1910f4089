"""What viewers are told of an image whose header lacks what the gateway needs."""

from __future__ import annotations

import httpx

from gateway.server import Gateway
from tests.gateway.http.sites import HttpSite

# An image of 4 x 4 x 4 voxels that says nothing of its spacing.
BARE = b"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 4 4 4\nencoding: raw\nendian: little\n\n" + bytes(64)


def test_a_missing_spacing_is_refused_in_words_for_viewers(http_gateway: Gateway) -> None:
    monai = HttpSite.of(http_gateway, "/monailabel").request("PUT", "/session/", files={"files": ("a.nrrd", BARE)})
    aiaa = HttpSite.of(http_gateway, "/aiaa").request("PUT", "/session/", files={"image": ("a.nrrd", BARE)})
    url = f"{HttpSite.of(http_gateway, '/api/v1').url}/images?format=nrrd"
    rest = httpx.post(url, content=BARE, trust_env=False)
    for answer in (monai, aiaa, rest):
        assert answer.status_code == 400, answer.text
        assert "no spacing" in answer.text
        assert "set the spacing in the program that sends the image" in answer.text
        # Viewers have no command line.
        assert "--" not in answer.text
