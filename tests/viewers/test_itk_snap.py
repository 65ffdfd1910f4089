"""ITK-SNAP's requests, as its sources make them: three clicks outline an organ. ITK-SNAP itself cannot be scripted."""

from __future__ import annotations

import numpy as np

from gateway.server import Gateway
from sixpoint.metrics import dice
from sixpoint.phantom import make_phantom
from tests.gateway.http.itksnap.snap_client import SnapClient, full_url
from tests.viewers.support.masks import deepest
from tests.viewers.support.pictures import draw_steps
from tests.viewers.support.programs import real_viewer

pytestmark = real_viewer("ITK-SNAP's requests")


def test_a_person_outlines_an_organ(http_gateway: Gateway) -> None:
    phantom = make_phantom()
    liver = phantom.mask("liver") != 0
    client = SnapClient(full_url("127.0.0.1", http_gateway.http_ports["http"]))
    assert "annotation" in client.connect()
    client.show(phantom.image)
    mask = np.zeros_like(liver)
    masks, clicks = [], []
    for _ in range(3):
        missing, excess = liver & ~mask, mask & ~liver
        foreground = missing.sum() >= excess.sum()
        z, y, x = deepest(missing if foreground else excess)
        mask = client.point((x, y, z), foreground=bool(foreground)) != 0
        assert mask[z, y, x] == foreground
        masks.append(mask)
        clicks.append([(x, y, z)])
    assert dice(masks[-1], liver) > dice(masks[0], liver)
    draw_steps("itk-snap.png", phantom.image.array, masks, clicks, z=clicks[0][0][2])
