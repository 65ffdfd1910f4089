from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from google.protobuf import json_format
from hypothesis import given

from sixpoint.client.models import read_model
from sixpoint.errors import InternalError, PromptError, VolumeError
from sixpoint.geometry import Geometry
from sixpoint.mask import PackedMask, Timings, pack
from sixpoint.model_spec import (
    ExpectedImage,
    HeatmapChannel,
    ImageChannel,
    InputSpec,
    Intensity,
    ModelSpec,
    PatchSpec,
    PromptKind,
    Task,
)
from sixpoint.prompts import Box, Click, ExtremePoints, Frame, Lasso, Prompt, Scribble
from sixpoint.protocol import (
    geometry_from_message,
    geometry_to_message,
    mask_from_message,
    mask_to_message,
    model_to_message,
    prompt_from_message,
    prompt_to_message,
    timings_from_message,
    timings_to_message,
)
from sixpoint.v1 import annotation_service_pb2 as annotation
from sixpoint.v1 import model_service_pb2 as models
from sixpoint.v1 import volume_pb2 as volumes
from tests.sixpoint.geometries import geometries

SPEC = ModelSpec(
    title="Spleen",
    description="Outlines spleens.",
    modalities=("CT", "MR"),
    labels=("spleen", "cyst"),
    input=InputSpec(channels=(HeatmapChannel(),)),
    licence="Apache-2.0",
    metrics={"dice": 0.93, "hd95_mm": 2.5},
)


# Geometry


@given(geometries())
def test_any_geometry_comes_back_to_the_bit(geometry: Geometry) -> None:
    sent = geometry_to_message(geometry).SerializeToString()
    back = geometry_from_message(volumes.Geometry.FromString(sent))
    assert back == geometry
    assert back.packed() == geometry.packed()


@pytest.mark.parametrize(("name", "count"), [("size", 3), ("spacing", 3), ("origin", 3), ("direction", 9)])
@pytest.mark.parametrize("change", [-1, 1])
def test_a_geometry_of_too_few_or_many_numbers_is_refused(name: str, count: int, change: int) -> None:
    message = geometry_to_message(Geometry((4, 5, 6)))
    numbers = getattr(message, name)
    if change < 0:
        del numbers[-1]
    else:
        numbers.append(1)
    with pytest.raises(VolumeError, match=f"{name} needs {count} numbers, got {count + change}") as caught:
        geometry_from_message(message)
    assert [violation.field for violation in caught.value.violations] == [f"geometry.{name}"]


def test_a_geometry_that_was_not_sent_is_refused() -> None:
    with pytest.raises(VolumeError, match="size needs 3 numbers, got 0"):
        geometry_from_message(volumes.Geometry())


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("size", 0, "size must be positive"),
        ("size", -3, "size must be positive"),
        ("spacing", 0.0, "spacing must be positive"),
        ("spacing", math.nan, "not finite"),
        ("origin", math.inf, "not finite"),
        ("direction", 0.5, "orthogonal unit vectors"),
    ],
)
def test_numbers_that_make_no_geometry_are_refused(name: str, value: float, complaint: str) -> None:
    message = geometry_to_message(Geometry((4, 5, 6)))
    getattr(message, name)[0] = value
    with pytest.raises(VolumeError, match=complaint):
        geometry_from_message(message)


# Prompts


@pytest.mark.parametrize("frame", list(Frame))
@pytest.mark.parametrize("positive", [True, False])
def test_prompts_come_back_in_their_frame(frame: Frame, positive: bool) -> None:
    prompts: list[Prompt] = [
        ExtremePoints([(1.5, -2.25, 1 / 3), (1e6, 0.0, -0.0), (4, 5, 6)], frame),
        Box((1.5, -2.25, 1 / 3), (0, 0, 0), frame),
        Click((-0.0, 7, 1e-9), positive, frame),
    ]
    for prompt in prompts:
        sent = prompt_to_message(prompt).SerializeToString()
        assert prompt_from_message(annotation.Prompt.FromString(sent)) == prompt


def test_frames_and_signs_have_the_numbers_of_the_contract() -> None:
    numbers = {frame: prompt_to_message(ExtremePoints([], frame)).extreme_points.frame for frame in Frame}
    assert numbers == {Frame.VOXEL: 1, Frame.LPS: 2, Frame.RAS: 3}
    assert [prompt_to_message(Click((0, 0, 0), positive)).click.sign for positive in (True, False)] == [1, 2]


def messages() -> list[annotation.Prompt]:
    """One of each kind, complete."""
    return [
        prompt_to_message(prompt)
        for prompt in (ExtremePoints([(1, 2, 3)]), Box((1, 2, 3), (4, 5, 6)), Click((1, 2, 3)))
    ]


@pytest.mark.parametrize("number", [0, 4, 99])
@pytest.mark.parametrize("message", messages(), ids=["points", "box", "click"])
def test_an_unspecified_or_unknown_frame_is_refused(message: annotation.Prompt, number: int) -> None:
    wrong = annotation.Prompt.FromString(message.SerializeToString())
    getattr(wrong, str(wrong.WhichOneof("kind"))).frame = number
    with pytest.raises(
        PromptError, match=r"frame is missing or unknown.*FRAME_VOXEL, FRAME_LPS or FRAME_RAS"
    ) as caught:
        prompt_from_message(wrong)
    assert [violation.field for violation in caught.value.violations] == [f"{wrong.WhichOneof('kind')}.frame"]


@pytest.mark.parametrize("number", [0, 3, 99])
def test_an_unspecified_or_unknown_sign_is_refused(number: int) -> None:
    message = prompt_to_message(Click((1, 2, 3)))
    message.click.sign = number  # type: ignore[assignment]
    with pytest.raises(PromptError, match="CLICK_SIGN_POSITIVE or CLICK_SIGN_NEGATIVE") as caught:
        prompt_from_message(message)
    assert [violation.field for violation in caught.value.violations] == ["click.sign"]


def test_a_prompt_of_no_kind_is_refused() -> None:
    with pytest.raises(PromptError, match="expected extreme points, a box, a mask, a click, a scribble or a lasso"):
        prompt_from_message(annotation.Prompt())


@pytest.mark.parametrize(("kind", "field"), [("box", "lower"), ("box", "upper"), ("click", "point")])
def test_a_point_that_was_not_sent_is_missing(kind: str, field: str) -> None:
    message = next(one for one in messages() if one.WhichOneof("kind") == kind)
    getattr(message, kind).ClearField(field)
    with pytest.raises(PromptError, match=f"{kind}: {field} is missing") as caught:
        prompt_from_message(message)
    assert [violation.field for violation in caught.value.violations] == [f"{kind}.{field}"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_coordinate_that_is_not_finite_is_refused(value: float) -> None:
    wrong = volumes.Point(x=1, y=value, z=3)
    points, box, click = messages()
    points.extreme_points.points.append(wrong)
    box.box.upper.CopyFrom(wrong)
    click.click.point.CopyFrom(wrong)
    for message, name in ((points, "point 1"), (box, "box, upper corner"), (click, "click")):
        with pytest.raises(PromptError, match=f"{name}: expected three finite numbers"):
            prompt_from_message(message)


def test_a_coordinate_that_was_not_sent_is_zero() -> None:
    message = prompt_to_message(Click((0, 2, 0)))
    assert prompt_from_message(message) == Click((0.0, 2.0, 0.0))


# Masks


def test_a_mask_comes_back() -> None:
    packed = pack(np.random.default_rng(0).random((7, 9, 11)) > 0.5, (100, 200, 300))
    sent = mask_to_message(packed).SerializeToString()
    assert mask_from_message(annotation.MaskPatch.FromString(sent)) == packed


def test_an_empty_mask_comes_back() -> None:
    packed = pack(np.zeros((2, 3, 4), bool), (0, 0, 0))
    sent = mask_to_message(packed).SerializeToString()
    assert mask_from_message(annotation.MaskPatch.FromString(sent)) == packed


@pytest.mark.parametrize("name", ["lower", "upper"])
@pytest.mark.parametrize("count", [0, 2, 4])
def test_a_mask_without_a_whole_box_is_damaged(name: str, count: int) -> None:
    message = mask_to_message(PackedMask((0, 0, 0), (1, 1, 1), b"", b"", 1))
    corner = getattr(message.box, name)
    del corner[:]
    corner.extend([1] * count)
    with pytest.raises(InternalError, match="its box is missing"):
        mask_from_message(message)


def test_no_mask_at_all_is_damaged() -> None:
    with pytest.raises(InternalError, match="its box is missing"):
        mask_from_message(annotation.MaskPatch())


# Timings


def test_timings_come_back_phase_by_phase() -> None:
    timings = Timings(*(timedelta(milliseconds=n, microseconds=7) for n in (1, 20, 300, 4000, 50)))
    sent = timings_to_message(timings).SerializeToString()
    assert timings_from_message(annotation.Timings.FromString(sent)) == timings


def test_timings_that_were_not_sent_are_zero() -> None:
    assert timings_from_message(annotation.Timings()) == Timings()


# Models


def test_a_model_is_listed_as_its_spec_says() -> None:
    sent = models.ListModelsResponse(models=[model_to_message("spleen", "3", SPEC)]).SerializeToString()
    (model,) = map(read_model, models.ListModelsResponse.FromString(sent).models)
    assert vars(model) == {
        "name": "spleen",
        "version": "3",
        "title": "Spleen",
        "description": "Outlines spleens.",
        "task": "annotation",
        "modalities": ("CT", "MR"),
        "labels": ("spleen", "cyst"),
        "prompts": ("extreme_points",),
        "licence": "Apache-2.0",
        "metrics": {"dice": 0.93, "hd95_mm": 2.5},
        "patch_size": None,
        "patch_spacing": None,
        "image_windows": (),
    }


def test_what_a_model_expects_of_an_image_is_sent() -> None:
    windows = (Intensity(method="range", low=-160, high=240), Intensity(method="percentile"))
    spec = ModelSpec(
        task=Task.SEGMENTATION,
        modalities=("CT",),
        prompts=(),
        patch=PatchSpec(size=(96, 80, 64), spacing=(1.5, 1.5, 3.0)),
        input=InputSpec(channels=tuple(ImageChannel(intensity=window) for window in windows)),
    )
    sent = model_to_message("organs", "1", spec).SerializeToString()
    expected = read_model(models.Model.FromString(sent)).expected_image
    assert expected == ExpectedImage.of_spec(spec)
    assert expected == ExpectedImage(True, ("CT",), (96, 80, 64), (1.5, 1.5, 3.0), ((-160.0, 240.0),))


def test_the_model_of_an_old_gateway_expects_only_what_it_says() -> None:
    old = models.Model(name="organs", task=models.TASK_SEGMENTATION, modalities=["CT"])
    assert read_model(old).expected_image == ExpectedImage(True, ("CT",))


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("kind", list(PromptKind))
def test_every_task_and_kind_of_prompt_comes_back_by_its_own_name(task: Task, kind: PromptKind) -> None:
    message = model_to_message("any", "1", SPEC.model_copy(update={"task": task, "prompts": (kind,)}))
    model = read_model(message)
    as_clicks = ("scribbles", "lasso") if kind is PromptKind.CLICKS else ()
    assert (model.task, model.prompts) == (task.value, (kind.value, *as_clicks))


def test_kinds_that_older_clients_do_not_know_come_in_a_field_of_their_own() -> None:
    message = model_to_message("any", "1", SPEC.model_copy(update={"prompts": (PromptKind.BOX, PromptKind.CLICKS)}))
    # A client that does not know a number in prompt_kinds fails to list all models.
    assert list(message.prompt_kinds) == [models.PROMPT_KIND_BOX, models.PROMPT_KIND_CLICKS]
    assert list(message.prompt_kinds_as_clicks) == [models.PROMPT_KIND_SCRIBBLES, models.PROMPT_KIND_LASSO]
    message.prompt_kinds.append(models.PromptKind.ValueType(99))
    assert read_model(message).prompts == ("box", "clicks", "scribbles", "lasso")


SQUARE = [(8.0, 10.0, 12.0), (12.0, 10.0, 12.0), (12.0, 13.5, 12.0)]


@pytest.mark.parametrize(
    "prompt",
    [
        Scribble(SQUARE, False),
        Scribble(SQUARE, frame="lps"),
        Lasso(SQUARE),
        Lasso(SQUARE, False, "ras", axis="x"),
        Lasso(SQUARE, extent=((8, 10, 2), (13, 14, 20))),
        Lasso.of_mask(np.eye(5)[None]),
    ],
)
def test_a_scribble_or_lasso_comes_back_as_it_was(prompt: Prompt) -> None:
    sent = prompt_to_message(prompt).SerializeToString()
    assert prompt_from_message(annotation.Prompt.FromString(sent)) == prompt


def test_a_scribble_of_a_file_is_not_sent_before_it_is_on_the_grid_of_the_image() -> None:
    grid = Geometry((3, 3, 3))
    for drawn in (Scribble(np.eye(3)[None], grid=grid), Lasso.of_mask(np.eye(3)[None], grid=grid)):
        with pytest.raises(PromptError, match=r"not on the grid of an image yet"):
            prompt_to_message(drawn)


def test_a_scribble_of_voxel_indices_means_the_same_as_its_runs() -> None:
    points = [volumes.Point(x=x, y=y, z=z) for x, y, z in SQUARE]
    message = annotation.Prompt(
        scribble=annotation.Scribble(sign=annotation.CLICK_SIGN_NEGATIVE, frame=volumes.FRAME_VOXEL, points=points)
    )
    assert prompt_from_message(message) == Scribble(SQUARE, False)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"scribble": {}}, "the sign is missing"),
        ({"scribble": {"sign": 1}}, "no voxels"),
        ({"scribble": {"sign": 1, "voxels": {"voxelCount": 2**40}}}, "is the limit"),
        ({"scribble": {"sign": 1, "voxels": {"voxelCount": 2, "runs": "eHh4"}}}, "arrived damaged"),
        ({"scribble": {"sign": 1, "points": [{}]}}, "the frame is missing"),
        ({"scribble": {"sign": 1, "frame": 1, "points": [{"x": -1}]}}, "outside the image"),
        ({"scribble": {"sign": 1, "frame": 1, "points": [{"x": "NaN"}]}}, "not finite"),
        ({"scribble": {"sign": 1, "frame": 1, "points": [{}] * 2001}}, "at most 2000 points, got 2001"),
        ({"scribble": {"sign": 1, "points": [{}], "voxels": {"voxelCount": 1}}}, "got both"),
        ({"lasso": {}}, "the sign is missing"),
        ({"lasso": {"sign": 1, "frame": 1}}, "expected 3 to 2000 points of a contour, got 0"),
        ({"lasso": {"sign": 1, "frame": 1, "points": [{}] * 2001}}, "at most 2000 points, got 2001"),
        ({"lasso": {"sign": 1, "points": [{}] * 3}}, "the frame is missing"),
        ({"lasso": {"sign": 1, "frame": 1, "points": [{}] * 3, "axis": 4}}, "axis 4; expected 1 for x"),
        ({"lasso": {"sign": 1, "frame": 1, "points": [{}] * 3, "extent": {}}}, "needs two corners"),
        ({"lasso": {"sign": 1, "points": [{}] * 3, "filled": {"voxelCount": 1}}}, "got both"),
    ],
)
def test_a_scribble_or_lasso_that_is_none_is_refused(fields: dict[str, Any], words: str) -> None:
    message = json_format.ParseDict(fields, annotation.Prompt())
    with pytest.raises(PromptError, match=words) as caught:
        prompt_from_message(message)
    assert caught.value.violations


def test_extreme_points_are_counted_before_they_are_read() -> None:
    message = annotation.Prompt(
        extreme_points=annotation.ExtremePoints(frame=volumes.FRAME_VOXEL, points=[volumes.Point(x=math.nan)] * 21)
    )
    with pytest.raises(PromptError, match="expected at most 20 points, got 21"):
        prompt_from_message(message)
