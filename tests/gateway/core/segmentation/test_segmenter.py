"""Segmentation with networks whose answers are known: equal to MONAI's sliding window, bounded, and ended at once."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest
import torch

from gateway.core.images import StoredImage
from gateway.core.runtime import Deadline, Stage
from gateway.core.runtime.catalog import Candidate, Model
from gateway.core.segmentation.events import LabelMask, SegmentationProgress, SegmentationSummary
from gateway.core.segmentation.job import SegmentationJob, estimate_segmentation_memory
from sixpoint import errors
from sixpoint.geometry import Geometry
from sixpoint.mask import unpack
from sixpoint.model_spec import ImageChannel, InputSpec, Intensity, ModelSpec, NetworkSpec
from sixpoint.prompts import ExtremePoints
from sixpoint.volume import Volume
from tests.gateway.core.segmentation.sliding import (
    Network,
    by_monai,
    labels_of,
    segment,
    segmentation_spec,
    segmenter,
    softmax_of,
)
from tests.sixpoint.geometries import AXIS_ORDERS, reordered
from tests.support.callers import NOBODY
from tests.support.models import ELLIPSOID_SPEC


def volume_of(size: tuple[int, int, int], geometry: Geometry | None = None, *, seed: int = 0) -> Volume:
    """Smooth noise of a size (x, y, z)."""
    x, y, z = size
    noise = np.random.default_rng(seed).normal(0, 1, (z, y, x))
    for axis in range(3):
        noise = (noise + np.roll(noise, 1, axis) + np.roll(noise, 2, axis)) / 3
    return Volume((1000 * noise).astype(np.int16), geometry or Geometry(size=size))


def expected(volume: Volume, spec: ModelSpec) -> np.ndarray:
    def predict(patches: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(np.stack([softmax_of(patch, spec) for patch in patches.numpy()]))

    return by_monai(volume, spec, predict)


@pytest.mark.parametrize(
    ("size", "patch"),
    [
        ((16, 12, 8), {}),  # one patch exactly
        ((32, 24, 16), {}),  # even
        ((33, 25, 19), {"overlap": 0.25}),  # odd
        ((9, 11, 5), {}),  # smaller along every axis
        ((9, 30, 5), {"padding": "replicate"}),  # smaller along two
        ((40, 7, 21), {"padding_value": 0.0, "blend": "constant"}),
        ((27, 26, 25), {"spacing": (1.7, 1.3, 0.8)}),  # another spacing than the image's
        ((27, 26, 25), {"spacing": (0.7, 0.9, 2.6), "overlap": 0.6}),
        ((21, 20, 12), {"spacing": (9.0, 9.0, 9.0)}),
        ((40, 30, 20), {"overlap": 0.0}),
        ((27, 26, 25), {"spacing": (1.7, 1.3, 0.8), "grid": "centres"}),
        ((27, 26, 25), {"spacing": (0.7, 0.9, 2.6), "grid": "centres", "windowed_first": True}),
    ],
)
def test_labels_are_those_of_the_sliding_window_of_monai(size: tuple[int, int, int], patch: dict[str, Any]) -> None:
    volume, spec = volume_of(size), segmentation_spec(3, **patch)
    probabilities = expected(volume, spec)
    result = labels_of(segment(volume, Network(spec)), volume)
    first, second = np.sort(probabilities, axis=0)[[-1, -2]]
    sure = first - second > 1e-5  # elsewhere the last bit decides
    assert sure.mean() > 0.999
    np.testing.assert_array_equal(result[sure], probabilities.argmax(axis=0)[sure])
    assert len(np.unique(result)) >= 2


def test_labels_that_do_not_exclude_each_other_are_cut_one_by_one() -> None:
    volume, spec = volume_of((27, 26, 21)), segmentation_spec(3, exclusive=False, spacing=(1.4, 1.0, 0.9))
    probabilities = expected(volume, spec)
    events = [event for event in segment(volume, Network(spec)) if isinstance(event, LabelMask)]
    for event, one in zip(events, probabilities, strict=True):
        sure = np.abs(one - 0.5) > 1e-5
        np.testing.assert_array_equal(unpack(event.mask, volume.geometry.size)[sure] > 0, (one >= 0.5)[sure])


def test_logits_are_averaged_before_their_softmax_as_by_monai() -> None:
    volume, spec = volume_of((27, 26, 21)), segmentation_spec(3, average="logits")

    def logits(patch: np.ndarray) -> np.ndarray:
        return 4 * np.log(softmax_of(patch, spec))

    averaged = by_monai(
        volume, spec, lambda patches: torch.from_numpy(np.stack([logits(patch) for patch in patches.numpy()]))
    )
    result = labels_of(segment(volume, Network(spec, predict=logits)), volume)
    np.testing.assert_array_equal(result, averaged.argmax(axis=0))
    probabilities = by_monai(
        volume,
        spec,
        lambda patches: torch.from_numpy(np.stack([np.exp(logits(patch)) for patch in patches.numpy()])).softmax(dim=1),
    )
    assert (result != probabilities.argmax(axis=0)).mean() > 1e-3


def test_only_the_foreground_is_segmented() -> None:
    volume = volume_of((40, 36, 30))
    array = np.full_like(volume.array, volume.array.min())
    array[9:26, 5:31, 12:33] = volume.array[9:26, 5:31, 12:33]
    volume = Volume(array, volume.geometry)
    spec = segmentation_spec(3, padding="replicate", foreground=-1.0)
    window = Intensity(method="range", low=float(array.min()), high=float(array.max()))
    spec = spec.model_copy(update={"input": InputSpec(dtype="FP32", channels=(ImageChannel(intensity=window),))})
    network = Network(spec)
    result = labels_of(segment(volume, network), volume)
    cut = Volume(np.ascontiguousarray(array[9:26, 5:31, 12:33]), Geometry(size=(21, 26, 17)))
    alone = Network(spec)
    np.testing.assert_array_equal(result[9:26, 5:31, 12:33], labels_of(segment(cut, alone), cut))
    result[9:26, 5:31, 12:33] = 0
    assert not result.any()
    assert network.answered == alone.answered


def test_windows_begin_in_monais_corner_on_monais_grid_only() -> None:
    image = StoredImage("image", volume_of((27, 26, 25)))

    def starts(*missing: str, **patch: Any) -> tuple[tuple[int, ...], ...]:
        spec = segmentation_spec(**patch).model_copy(update={"network": NetworkSpec(name="UNet", axes="RAS")})
        mapping = json.loads(spec.to_json())
        for name in missing:
            del mapping["patch"][name]
        read = ModelSpec.from_mapping(mapping)
        job = SegmentationJob.plan(image, Model("parts", "1", read), version="1", deadline=Deadline.after(60))
        return job.window.starts

    z, y, x = (0, 4, 8, 12, 16, 17), (0, 6, 12, 14), (0, 8, 11)
    # As versions say that were published before there was such a grid.
    assert starts("grid", "sigma", "windowed_first") == (z, y, x)
    assert starts(grid="faces") == (z, y, x)
    assert starts(grid="centres") == (z, (0, 2, 8, 14), (0, 3, 11))


@pytest.mark.parametrize(("axes", "flips"), AXIS_ORDERS[::7])
def test_an_image_stored_in_any_order_gets_the_same_labels(axes: tuple[int, ...], flips: tuple[bool, ...]) -> None:
    volume, spec = volume_of((20, 23, 14)), segmentation_spec(2, spacing=(1.5, 1.0, 0.8))
    array, geometry = reordered(volume.array, volume.geometry, axes, flips)
    stored = Volume(array, geometry)
    result = labels_of(segment(stored, Network(spec)), stored)
    labels, _ = reordered(labels_of(segment(volume, Network(spec)), volume), volume.geometry, axes, flips)
    np.testing.assert_array_equal(result, labels)


def test_progress_comes_first_then_labels_then_where_the_time_went() -> None:
    volume, spec = volume_of((40, 24, 16)), segmentation_spec(2)
    network = Network(spec, seconds=0.005)
    events = segment(volume, network, in_flight=3)
    progress = [event for event in events if isinstance(event, SegmentationProgress)]
    count = progress[-1].count
    assert events[: len(progress)] == progress
    assert [event.stage for event in progress[:3]] == [Stage.WAITING, Stage.PREPROCESSING, Stage.INFERENCE]
    assert [event.done for event in progress[2:-1]] == list(range(count + 1))
    assert progress[-1] == SegmentationProgress(Stage.POSTPROCESSING, count, count)
    assert count == network.answered == 4 * 3 * 3
    assert network.max_running == 3
    *labels, end = events[len(progress) :]
    assert [(label.number, label.name) for label in labels if isinstance(label, LabelMask)] == [
        (1, "part 1"),
        (2, "part 2"),
    ]
    assert isinstance(end, SegmentationSummary)
    assert (end.model, end.version) == ("parts", "1")
    assert end.timings.inference.total_seconds() > 0


@pytest.mark.parametrize(("share", "version"), [(0.378, "1"), (0.38, "2")])
def test_the_digest_of_the_image_decides_whether_a_version_on_trial_answers(share: float, version: str) -> None:
    # SHA-256 of "image", which is the digest here, begins with 6105d6cc76af4003: 0.37900.
    network = Network(segmentation_spec(2), versions=[version])
    end = segment(volume_of((20, 16, 12)), network, candidate=Candidate("2", share))[-1]
    assert isinstance(end, SegmentationSummary)
    assert (network.asked, end.version) == ({version}, version)


def test_labels_that_are_wanted_come_and_others_still_compete() -> None:
    volume, spec = volume_of((20, 20, 16)), segmentation_spec(3)
    everything = [event for event in segment(volume, Network(spec)) if isinstance(event, LabelMask)]
    some = [event for event in segment(volume, Network(spec), labels=("part 2",)) if isinstance(event, LabelMask)]
    assert some == [everything[1]]


def test_a_label_has_the_extreme_points_of_its_mask_and_an_empty_one_none() -> None:
    volume, spec = volume_of((20, 18, 16)), segmentation_spec(2)

    def box(patch: np.ndarray) -> np.ndarray:
        output = np.zeros(spec.output_shape, np.float32)
        output[0], output[1] = 0.4, np.where(patch[0] > 0, 0.6, 0)
        return output

    first, second = [event for event in segment(volume, Network(spec, box)) if isinstance(event, LabelMask)]
    mask = unpack(first.mask, volume.geometry.size)
    assert first.extremes == tuple(ExtremePoints.of_mask(mask).points)
    assert all(mask[z, y, x] for x, y, z in first.extremes)
    assert (second.mask.voxel_count, second.extremes) == (0, ())


def test_what_cannot_be_is_refused_in_words() -> None:
    volume, spec = volume_of((20, 18, 16)), segmentation_spec(2)
    with pytest.raises(errors.InvalidArgument, match="no label 'liver'; it has: part 1, part 2"):
        segment(volume, Network(spec), labels=("part 1", "liver"))
    annotation = ELLIPSOID_SPEC
    with pytest.raises(errors.TaskNotSupported, match="takes extreme_points: open a session"):
        segment(volume, Network(annotation))
    with pytest.raises(errors.ResourceExhausted, match=r"20 x 18 x 16 voxels.*SIXPOINT_SEGMENTATION_MEMORY_BYTES"):
        segment(volume, Network(spec), memory=10_000)
    # Some spacing that a header claims must not become memory.
    vast = Volume(volume.array, Geometry(size=(20, 18, 16), spacing=(500.0, 500.0, 500.0)))
    with pytest.raises(errors.ResourceExhausted, match="10000 x 9000 x 8000 voxels"):
        segment(vast, Network(spec))


def test_numbers_that_are_none_are_an_error_and_no_mask() -> None:
    volume, spec = volume_of((20, 18, 16)), segmentation_spec(2)
    with pytest.raises(errors.InferenceError, match="NaN"):
        segment(volume, Network(spec, lambda _: np.full(spec.output_shape, np.nan, np.float32)))


def test_two_versions_make_no_segmentation() -> None:
    volume, spec = volume_of((20, 18, 16)), segmentation_spec(2)
    network = Network(spec, versions=["1", "1", "2"])
    with pytest.raises(errors.TritonUnavailable, match="went from version 1 to 2") as raised:
        segment(volume, network)
    assert raised.value.retry_after


def test_what_is_given_up_is_taken_back_from_triton_at_once() -> None:
    volume, spec = volume_of((40, 24, 16)), segmentation_spec(2)
    network = Network(spec, seconds=0.02)

    async def run() -> None:
        with ThreadPoolExecutor(2) as executor:
            made = segmenter(volume, network, executor)

            async def consume() -> None:
                events = made.segment("image", "parts", principal=NOBODY, deadline=Deadline.after(60))
                async with aclosing(events):
                    async for event in events:
                        if isinstance(event, SegmentationProgress) and event.done == 2:
                            network.seconds = 60
                            reached.set()

            reached = asyncio.Event()
            task = asyncio.create_task(consume())
            await reached.wait()
            # Patches are cut out on threads: which of the three that are under way are slow is not said.
            async with asyncio.timeout(30):
                while 60 not in network.sent_with:
                    await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert network.running == 0
            assert 1 <= network.cancelled == len(network.sent_with) - network.answered
            # Nothing is held any more: the next one runs.
            network.seconds = 0
            events = made.segment("image", "parts", principal=NOBODY, deadline=Deadline.after(60))
            assert isinstance([event async for event in events][-1], SegmentationSummary)
            late = made.segment("image", "parts", principal=NOBODY, deadline=Deadline.after(-1))
            with pytest.raises(errors.DeadlineExceeded):
                _ = [event async for event in late]

    asyncio.run(run())


def test_segmentations_beyond_the_limit_are_refused_and_others_wait_for_memory() -> None:
    volume, spec = volume_of((20, 18, 16)), segmentation_spec(2)
    network = Network(spec, seconds=0.01)

    async def run() -> list[object]:
        with ThreadPoolExecutor(2) as executor:
            # Room for one at a time.
            needed = estimate_segmentation_memory(StoredImage("image", volume), spec, in_flight=1)
            made = segmenter(volume, network, executor, memory=needed + 1, in_flight=1)

            async def last() -> object:
                events = made.segment("image", "parts", principal=NOBODY, deadline=Deadline.after(60))
                return [event async for event in events][-1]

            return await asyncio.gather(*(last() for _ in range(3)), return_exceptions=True)

    first, second, third = asyncio.run(run())
    assert isinstance(first, SegmentationSummary)
    assert isinstance(second, SegmentationSummary)
    assert isinstance(third, errors.ResourceExhausted)
    assert network.max_running == 1
    assert second.timings.queue > first.timings.queue


def test_the_estimated_memory_is_what_a_long_image_takes() -> None:
    spec = segmentation_spec(5, size=(32, 32, 32), dtype="UINT8")
    volume = volume_of((96, 96, 640))
    output = np.zeros(spec.output_shape, np.float32)
    output[1, 8:20, 8:20, 8:20] = 1
    network = Network(spec, lambda _: output)
    said = estimate_segmentation_memory(StoredImage("image", volume), spec, in_flight=3)
    tracemalloc.start()
    try:
        segment(volume, network)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # All probabilities at once would take four times as much.
    everything = 4 * 6 * volume.array.size
    assert peak < 1.2 * said < 0.8 * everything
