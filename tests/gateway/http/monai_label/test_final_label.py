"""Which of the annotations that people saved is an image's final label in MONAI Label's door."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import sixpoint
from gateway.server import Gateway
from gateway.triton.local.server import LocalTriton
from tests.gateway.http.sites import HttpSite, read_mask
from tests.support.images import noisy_volume
from tests.support.servers import running_gateway

pytestmark = pytest.mark.filterwarnings("ignore::sixpoint.ImplausibleImageWarning")

IMAGE = noisy_volume((12, 10, 9))


@pytest.fixture
def gateway(triton: LocalTriton) -> Iterator[Gateway]:
    with running_gateway(triton_url=triton.address, http_port=0, viewer_dataset="abdomen") as gateway:
        yield gateway


@pytest.fixture
def viewer(gateway: Gateway) -> HttpSite:
    return HttpSite.of(gateway)


@pytest.fixture
def client(gateway: Gateway) -> Iterator[sixpoint.Client]:
    with sixpoint.Client(f"127.0.0.1:{gateway.port}") as client:
        client.datasets.create("abdomen", labels=["spleen", "liver"])
        yield client


def test_the_final_label_is_what_was_decided(viewer: HttpSite, client: sixpoint.Client, tmp_path: Path) -> None:
    digest = client.datasets.add_image("abdomen", IMAGE).digest

    def save(owner: str, count: int) -> str:
        mask = np.zeros(IMAGE.array.shape, np.uint8)
        mask[0, 0, :count] = 1
        with sixpoint.Client(client.target, owner=owner) as annotator:
            return annotator.datasets.add_masks("abdomen", digest, {"liver": mask}).id

    def final(tag: str = "&tag=final") -> int:
        """Number of voxels of the label with a tag."""
        back = viewer.get(f"/datastore/label?label={digest}{tag}")
        return int((read_mask(back.content, tmp_path / "back.nrrd", IMAGE)[0] > 0).sum())

    def listed() -> list[str]:
        labels = viewer.get("/datastore/?output=all").json()["objects"][digest]["labels"]
        return [tag for tag, label in labels.items() if tag != "final" and label == labels["final"]]

    ada, ben, cleo = save("ada", 1), save("ben", 2), save("cleo", 3)
    assert (final(), listed()) == (3, ["version_3"])
    client.datasets.review(cleo, "rejected", reason="too large")
    assert (final(), final(""), listed()) == (2, 2, ["version_2"])
    client.datasets.adjudicate(ada, among=[ada, ben])
    assert (final(), final(""), listed()) == (1, 1, ["version_1"])
    # What is saved later counts once it is accepted.
    later = save("ben", 4)
    assert (final(), listed()) == (1, ["version_1"])
    client.datasets.review(later, "accepted")
    assert (final(), listed()) == (4, ["version_4"])
    assert final("&tag=version_3") == 3
    # Where nothing else is left, reviewers see what they flagged, and why.
    for annotation in (ada, later):
        client.datasets.review(annotation, "rejected", reason="wrong")
    info = viewer.get(f"/datastore/label/info?label={digest}&tag=final").json()
    assert (info["segmentationMeta"]["status"], info["segmentationMeta"]["comment"]) == ("flagged", "wrong")
