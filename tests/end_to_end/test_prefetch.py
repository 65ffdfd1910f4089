"""The next image is there when it is asked for, and nobody is kept from it before."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sixpoint
from sixpoint import errors
from sixpoint.datasets import images_to_annotate
from sixpoint.volume import Volume
from tests.end_to_end.command_line import run
from tests.support.images import noisy_volume

pytestmark = pytest.mark.filterwarnings("ignore::sixpoint.ImplausibleImageWarning")


@pytest.fixture
def ada(address: str) -> Iterator[sixpoint.Client]:
    with sixpoint.Client(address, owner="ada") as client:
        yield client


@pytest.fixture
def ben(address: str) -> Iterator[sixpoint.Client]:
    with sixpoint.Client(address, owner="ben") as client:
        yield client


@pytest.fixture
def name(ada: sixpoint.Client, request: pytest.FixtureRequest) -> str:
    """A dataset of four images."""
    name = f"ahead {request.node.name}"
    ada.datasets.create(name, labels=["liver"])
    for number in range(4):
        volume = noisy_volume((20, 18, 16))
        volume = Volume(volume.array + np.int16(70 + number), volume.geometry)
        ada.datasets.add_image(name, volume, case_name=f"case {number}")
    return name


class Downloads:
    """Downloads of a client: their digests with the thread that asked, and a lock at which those ahead wait."""

    def __init__(self, client: sixpoint.Client, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[tuple[str, bool]] = []
        self.ended = threading.Semaphore(0)
        self.fail = False
        download = client.datasets.download

        def noted(digest: str) -> Any:
            is_ahead = threading.current_thread().name.startswith("prefetch")
            self.seen.append((digest, is_ahead))
            try:
                if self.fail and is_ahead:
                    raise errors.Unavailable("on purpose")
                return download(digest)
            finally:
                if is_ahead:
                    self.ended.release()

        monkeypatch.setattr(client.datasets, "download", noted)


def _save(client: sixpoint.Client, name: str, volume: Volume) -> None:
    client.datasets.add_masks(name, volume.digest, {"liver": np.ones(volume.array.shape, np.uint8)})


def test_the_next_image_is_downloaded_once_and_ahead(
    ada: sixpoint.Client, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    downloads = Downloads(ada, monkeypatch)
    cases = []
    for image, volume in images_to_annotate(ada, name):
        assert volume.digest == image.digest
        cases.append(image.case_name)
        _save(ada, name, volume)
    assert cases == [f"case {number}" for number in range(4)]
    assert [digest for digest, _ in downloads.seen] == [image.digest for image in ada.datasets.images(name)]


def test_somebody_else_may_get_what_was_downloaded(
    ada: sixpoint.Client, ben: sixpoint.Client, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    downloads = Downloads(ada, monkeypatch)
    images = images_to_annotate(ada, name)
    _, volume = next(images)
    assert downloads.ended.acquire(timeout=30)
    other = ben.datasets.next_image(name)
    assert other is not None
    assert (other.case_name, downloads.seen[1]) == ("case 1", (other.digest, True))
    _save(ada, name, volume)
    image, volume = next(images)
    assert (image.case_name, volume.digest) == ("case 2", image.digest)
    images.close()


def test_a_download_ahead_that_fails_is_no_failure(
    ada: sixpoint.Client, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    downloads = Downloads(ada, monkeypatch)
    downloads.fail = True
    images = images_to_annotate(ada, name)
    _save(ada, name, next(images)[1])
    image, volume = next(images)
    assert (image.case_name, volume.digest) == ("case 1", image.digest)
    images.close()


def test_the_command_writes_the_image_after_it_ahead(
    ada: sixpoint.Client, ben: sixpoint.Client, name: str, address: str, tmp_path: Path
) -> None:
    folder = tmp_path / "scans"

    def following() -> dict[str, Any]:
        done = run("sixpoint", "dataset", "next", name, "--ahead", folder, "--json", server=address)
        assert (done.returncode, done.stderr) == (0, "")
        answer: dict[str, Any] = json.loads(done.stdout)
        assert Volume.read(answer["file"]).digest == answer["digest"]
        _save(ada, name, Volume.read(answer["file"]))
        return answer

    assert following()["case"] == "case 0"
    ahead = folder / "case 1.nii.gz"
    assert sorted(folder.iterdir()) == [folder / "case 0.nii.gz", ahead]
    written = ahead.stat()
    # It is there, and nobody is kept from it.
    other = ben.datasets.next_image(name, peek=True)
    assert other is not None
    assert other.case_name == "case 1"
    assert following()["file"] == str(ahead)
    assert (ahead.stat().st_ino, ahead.stat().st_mtime_ns) == (written.st_ino, written.st_mtime_ns)
    # Somebody else gets what was written ahead.
    taken = ben.datasets.next_image(name)
    assert taken is not None
    assert taken.case_name == "case 2"
    assert following()["case"] == "case 3"


def test_what_cannot_be_written_ahead_is_said(name: str, address: str, tmp_path: Path) -> None:
    (tmp_path / "case 1.nii.gz").write_text("mine")
    done = run("sixpoint", "dataset", "next", name, "--ahead", tmp_path, server=address)
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == f"file: {tmp_path / 'case 0.nii.gz'}"
    assert done.stderr.startswith("the image after it was not written ahead: ")
    assert (tmp_path / "case 1.nii.gz").read_text() == "mine"
