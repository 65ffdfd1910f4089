"""Segmentation through the real Triton: the shipped model, against the same network in PyTorch under MONAI's window."""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

import sixpoint
from gateway.core.runtime import Model
from gateway.core.segmentation.aggregation import PatchAggregator
from gateway.core.segmentation.sliding_window import SlidingWindow, importance_map
from gateway.server import Gateway
from gateway.triton.client import TritonClient
from sixpoint import errors
from sixpoint.geometry import Geometry
from sixpoint.metrics import dice
from sixpoint.model_spec import Candidate, InputSpec
from sixpoint.phantom import make_phantom
from sixpoint.preprocessing import Roi, volume_input
from sixpoint.volume import Volume
from tests.gateway.core.segmentation.sliding import by_monai
from tests.gateway.server.segmenting_models import (
    MODEL,
    exact_spec,
    shipped_network,
    shipped_spec,
    softmaxed,
    write_exact_model,
    write_trial_model,
)
from tests.support.data import shared
from tests.support.models import write_slow_model
from tests.support.paths import ROOT, TRITON_ENVIRONMENT
from tests.support.servers import running_gateway, running_triton

pytestmark = [pytest.mark.triton, pytest.mark.filterwarnings("ignore:Using a non-tuple sequence")]


@pytest.fixture(scope="module")
def mark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that the slow model writes when its request was cancelled."""
    return tmp_path_factory.mktemp("mark") / "cancelled"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, mark: Path) -> Iterator[Gateway]:
    """A gateway in front of a Triton of its own, with the shipped models and those of these tests."""
    if not TRITON_ENVIRONMENT.is_dir():
        pytest.skip("Triton is not installed: make triton")
    repository = tmp_path_factory.mktemp("models") / "repository"
    shutil.copytree(ROOT / "model_repository", repository)
    write_exact_model(repository / "exact")
    write_trial_model(repository / "trial", share=0.5)
    write_slow_model(repository / "slow", mark=mark, spec=shipped_spec(), seconds=30.0)
    with (
        running_triton(repository) as triton,
        running_gateway(triton_url=triton.address) as running,
    ):
        running.triton_address = triton.address  # type: ignore[attr-defined]
        yield running


@pytest.fixture
def client(gateway: Gateway) -> Iterator[sixpoint.Client]:
    with sixpoint.Client(f"127.0.0.1:{gateway.port}") as client:
        yield client


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    return shipped_network()


def real(name: str) -> Volume:
    return Volume.read(shared(f"hippocampus/images/{name}.nii.gz"))


def phantom(size: tuple[int, int, int]) -> Volume:
    """A piece of the phantom CT, on the network's spacing."""
    array = make_phantom().image.array
    x, y, z = size
    return Volume(np.ascontiguousarray(array[:z, 20 : 20 + y, 20 : 20 + x]), Geometry(size=size))


# Their sizes, and the network's window of 40 x 56 x 40.
IMAGES = {
    "even": lambda: phantom((44, 60, 44)),
    "odd": lambda: phantom((45, 63, 41)),
    "smaller": lambda: phantom((23, 33, 17)),
    "real 1": lambda: real("hippocampus_001"),
    "real 2": lambda: real("hippocampus_003"),
    "real, odd": lambda: cropped(real("hippocampus_004"), 1),
    "real, smaller": lambda: cropped(real("hippocampus_006"), 9),
    "real, other spacing": lambda: respaced(real("hippocampus_001"), (0.8, 1.2, 0.6)),
}


def cropped(volume: Volume, by: int) -> Volume:
    array = np.ascontiguousarray(volume.array[by:, by:, by:])
    return Volume(array, Geometry(size=array.shape[::-1], spacing=volume.geometry.spacing))


def respaced(volume: Volume, spacing: tuple[float, float, float]) -> Volume:
    return Volume(volume.array, Geometry(size=volume.geometry.size, spacing=spacing))


@pytest.mark.parametrize("name", IMAGES)
def test_labels_are_those_of_monai_and_pytorch(name: str, gateway: Gateway, network: torch.nn.Module) -> None:
    volume = IMAGES[name]()
    expected = by_monai(volume, shipped_spec(), partial(softmaxed, network))
    labels = expected.argmax(axis=0)
    second, first = np.sort(expected, axis=0)[-2:]
    for model, spec, tolerance in (("exact", exact_spec(), 1e-3), (MODEL, shipped_spec(), 1e-3 + 0.5 / 255)):
        probabilities = asyncio.run(blended(volume, Model(model, "1", spec), gateway.triton_address))  # type: ignore[attr-defined]
        assert np.abs(probabilities - expected).max() <= tolerance
        # 255ths are rounded to either side.
        assert np.abs(probabilities - expected).mean() <= 1e-3
        with sixpoint.Client(f"127.0.0.1:{gateway.port}") as client:
            segmented = client.segment(volume, model=model)
        assert segmented.labels.dtype == np.uint8
        sure = first - second > 2 * tolerance
        np.testing.assert_array_equal(segmented.labels[sure], labels[sure])
        # On what it was not trained on, the network is often of two minds, and 255ths decide.
        if model == "exact" or "real" in name:
            assert all(dice(segmented.labels == number, labels == number) >= 0.999 for number in (1, 2))


def test_while_a_version_is_on_trial_an_image_gets_the_same_labels_on_every_gateway(gateway: Gateway) -> None:
    images = {
        Candidate("2", 0.5).serves(image.digest): image for image in (phantom((40, 56, 30 + n)) for n in range(9))
    }
    with running_gateway(triton_url=gateway.triton_address) as another:  # type: ignore[attr-defined]
        for owner, one in (("anna", gateway), ("bert", another)):
            with sixpoint.Client(f"127.0.0.1:{one.port}", owner=owner) as client:
                segmented = {taken: client.segment(image, model="trial") for taken, image in images.items()}
            assert {taken: labels.model_version for taken, labels in segmented.items()} == {False: "1", True: "2"}
            # The second version takes all for background.
            assert {taken: bool(labels.labels.any()) for taken, labels in segmented.items()} == {
                False: True,
                True: False,
            }


async def blended(volume: Volume, model: Model, address: str) -> np.ndarray:
    """Probabilities [channel, z, y, x] on the image's own grid, from Triton's answers to the gateway's patches."""
    spec = model.spec
    assert spec.patch is not None
    geometry = volume.geometry.canonical()
    roi = Roi.from_image(geometry.size, spacing=geometry.spacing, target_spacing=spec.patch.spacing)
    channels = volume_input(roi.extract(volume.geometry.orientation.to_canonical(volume.array)), spec.input)
    windows = SlidingWindow.over(channels.shape[1:], spec.patch)
    blend = PatchAggregator(windows, importance_map(spec.patch), channels=spec.output_shape[0])
    grid = np.empty((spec.output_shape[0], *channels.shape[1:]), np.float32)
    async with TritonClient(address) as triton:
        corners = list(windows)
        for number, corner in enumerate(corners, start=1):
            inferred = await triton.infer(model, windows.extract(channels, corner, spec.patch), timeout=30)
            blend.add(
                inferred.output.astype(np.float32) / np.float32(255 if spec.output.dtype == "UINT8" else 1), corner
            )
            for first, part in blend.pop_completed_slices(
                corners[number][0] if number < len(corners) else windows.padded_shape[0]
            ):
                grid[:, first : first + part.shape[1]] = part
    restored = [roi.restore(channel, image_size=geometry.size)[0] for channel in grid]
    return np.stack([volume.geometry.orientation.from_canonical(one) for one in restored])


def test_what_is_told_on_the_way(client: sixpoint.Client) -> None:
    told: list[tuple[int, int]] = []
    segmented = client.segment(phantom((45, 63, 41)), model=MODEL, progress=lambda *so_far: told.append(so_far))
    assert told[0] == (0, 8)
    assert [done for done, _ in told[1:]] == [*range(9), 8]
    assert (segmented.model, segmented.model_version, segmented.names) == (MODEL, "1", {1: "anterior", 2: "posterior"})
    assert segmented.timings.inference.total_seconds() > 0


def test_a_segmentation_begins_a_session_that_clicks_correct(client: sixpoint.Client, tmp_path: Path) -> None:
    volume = real("hippocampus_001")
    segmented = client.segment(volume, model=MODEL)
    mask = segmented.mask("anterior")
    assert mask.volume_ml > 0.1
    assert segmented.volume_ml("anterior") == pytest.approx(mask.volume_ml)
    segmented.save(tmp_path / "labels.nii.gz")
    np.testing.assert_array_equal(Volume.read(tmp_path / "labels.nii.gz").array, segmented.labels)
    with client.open_session(volume) as session:
        begun = session.annotate(sixpoint.InitialMask.of(mask))
        np.testing.assert_array_equal(begun.array, mask.array)
        z, y, x = np.argwhere(mask.array)[len(np.argwhere(mask.array)) // 2]
        corrected = session.click((int(x), int(y), int(z)), positive=False)
        assert not corrected.array[z, y, x]
        assert session.annotate(segmented.extreme_points("posterior"), segment=2).array.any()


def test_the_twin_for_asyncio_gets_the_same_and_some_labels_alone(gateway: Gateway, client: sixpoint.Client) -> None:
    volume = phantom((45, 63, 41))

    async def run() -> sixpoint.Segmentation:
        async with sixpoint.AsyncClient(f"127.0.0.1:{gateway.port}") as twin:
            return await twin.segment(volume, model=MODEL, labels=["posterior"])

    some, everything = asyncio.run(run()), client.segment(volume, model=MODEL)
    assert some.names == {2: "posterior"}
    np.testing.assert_array_equal(some.labels == 2, everything.labels == 2)
    with pytest.raises(errors.InvalidArgument, match="unknown label 'anterior'; expected one of posterior"):
        some.mask("anterior")


def test_what_cannot_be_segmented_is_refused_in_words(client: sixpoint.Client) -> None:
    volume = phantom((23, 33, 17))
    with pytest.raises(errors.TaskNotSupported, match="model 'annotation' takes extreme_points"):
        client.segment(volume, model="annotation")
    with pytest.raises(errors.ModelNotFound, match="segmentation_hippocampus"):
        client.segment(volume, model="segmentation_liver")
    with pytest.raises(errors.InvalidArgument, match="no label 'liver'; it has: anterior, posterior"):
        client.segment(volume, model=MODEL, labels=["liver"])


def test_a_session_cannot_use_a_model_without_prompts(client: sixpoint.Client) -> None:
    volume = phantom((23, 33, 17))
    refusal = f"model '{MODEL}' takes no prompts, .* segment the image with it"
    with pytest.raises(errors.TaskNotSupported, match=refusal):
        client.open_session(volume, model=MODEL)
    with client.open_session(volume) as session:
        with pytest.raises(errors.TaskNotSupported, match=refusal):
            session.use_model(MODEL)
        info = session.refresh()
        assert (info.model, info.revision) == ("annotation", 0)


def test_who_clicks_does_not_wait_for_the_threads_of_segmentations(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, answered = threading.Event(), threading.Event()

    def held(volume: np.ndarray, spec: InputSpec) -> np.ndarray:
        begun.set()
        assert answered.wait(60)
        return volume_input(volume, spec)

    monkeypatch.setattr("gateway.core.segmentation.segmenter.volume_input", held)
    volume = phantom((44, 60, 44))
    with (
        running_gateway(triton_url=gateway.triton_address, workers=1) as busy,  # type: ignore[attr-defined]
        sixpoint.Client(f"127.0.0.1:{busy.port}") as segmenting,
        sixpoint.Client(f"127.0.0.1:{busy.port}", timeout=sixpoint.Timeout(call=20.0)) as clicking,
        ThreadPoolExecutor(1) as threads,
    ):
        segmented = threads.submit(segmenting.segment, volume, model=MODEL)
        try:
            assert begun.wait(60)
            with clicking.open_session(volume, model="annotation") as session:
                assert session.annotate(sixpoint.Box((10, 10, 10), (30, 40, 30))).array.any()
        finally:
            answered.set()
        assert segmented.result().names


def test_a_call_that_ends_early_is_cancelled_down_to_triton(gateway: Gateway, mark: Path) -> None:
    hurried = sixpoint.Timeout(segment=1.0)
    with sixpoint.Client(f"127.0.0.1:{gateway.port}", timeout=hurried) as client:
        with pytest.raises(errors.DeadlineExceeded):
            client.segment(phantom((45, 63, 41)), model="slow")
        for _ in range(100):
            if mark.exists():
                break
            time.sleep(0.05)
        assert mark.exists()
    # And the next one runs.
    with sixpoint.Client(f"127.0.0.1:{gateway.port}") as patient:
        assert patient.segment(phantom((23, 33, 17)), model=MODEL).names
