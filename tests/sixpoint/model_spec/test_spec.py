"""A model's description: what it accepts, how it travels, and that it names every field at fault."""

from __future__ import annotations

import copy
import json
import math
import pickle
from typing import Any

import pytest
from pydantic import ValidationError

from sixpoint.errors import ModelSpecError
from sixpoint.model_spec import (
    AnnotationSpec,
    EllipsoidChannel,
    HeatmapChannel,
    HullChannel,
    ImageChannel,
    InputSpec,
    Intensity,
    ModelSpec,
    NetworkSpec,
    OutputSpec,
    PromptKind,
    RoiSpec,
    SegmentationSpec,
    Task,
)

FULL = ModelSpec(
    title="Spleen",
    description="Outlines spleens, µ-accurately.",
    modalities=("CT", "MR"),
    labels=("spleen",),
    roi=RoiSpec(size=(32, 48, 64), margin_mm=5, margin_fraction=0.1),
    input=InputSpec(
        name="X",
        dtype="FP32",
        channels=(
            ImageChannel(intensity=Intensity(method="range", low=-160, high=240)),
            ImageChannel(intensity=Intensity(method="points", low=2, high=98, width=3)),
            HeatmapChannel(sigma=0.05),
            EllipsoidChannel(),
            HullChannel(),
        ),
    ),
    output=OutputSpec(name="Y", dtype="FP16", threshold=0.4),
    network=NetworkSpec(name="UNet", arguments={"channels": [8, 16], "act": ["LEAKYRELU", {"inplace": True}]}),
    licence="Apache-2.0",
    metrics={"dice": 0.93},
    provenance={"commit": "abc"},
)
# The least that is a spec.
LEAST: dict[str, Any] = {"input": {"channels": [{"kind": "hull"}]}}
SEGMENTATION: dict[str, Any] = {
    "task": "segmentation",
    "prompts": [],
    "labels": ["anterior", "posterior"],
    "patch": {"size": [32, 40, 48], "spacing": [1.0, 1.0, 2.5]},
    "input": {"channels": [{"kind": "image", "intensity": {"method": "percentile"}}]},
}


def with_field(path: str, value: Any) -> dict[str, Any]:
    """The full spec as plain data, one field (a dotted path) set to something else."""
    data = json.loads(FULL.to_json())
    *parents, last = path.split(".")
    place = data
    for name in parents:
        place = place[int(name)] if isinstance(place, list) else place[name]
    place[last] = value
    return data


# There and back


def test_a_spec_comes_back_from_json() -> None:
    assert ModelSpec.from_json(FULL.to_json()) == FULL
    assert ModelSpec.from_json(FULL.to_json().encode()) == FULL


def test_a_spec_comes_back_from_what_yaml_and_json_readers_return() -> None:
    assert ModelSpec.from_mapping(json.loads(FULL.to_json())) == FULL


def test_json_says_every_default_so_that_a_later_default_changes_no_published_model() -> None:
    data = json.loads(ModelSpec.from_mapping(LEAST).to_json())
    assert set(data) == set(ModelSpec.model_fields)
    margins = {"margin_mm": 0.0, "margin_voxels": 0.0, "margin_fraction": 0.225}
    assert data["roi"] == {"size": [64, 64, 64], **margins, "whole": False}
    assert data["output"] == {"name": "PROBABILITY", "dtype": "UINT8", "threshold": 0.5, "exclusive": True}


def test_later_fields_stay_out_of_the_json_of_models_that_do_not_need_them() -> None:
    # A gateway that does not know a field refuses the spec: only models that need the field have it.
    assert FULL.to_json().count("resampling") == 0
    whole = {"size": [64, 64, 64], "whole": True}
    later = {"resampling": "area", "windowed_first": True, "click_placement": "cells"}
    spec = ModelSpec.from_mapping({**LEAST, "roi": {**whole, **later}})
    assert {name: json.loads(spec.to_json())["roi"][name] for name in later} == later
    assert ModelSpec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize(
    ("roi", "expected"),
    [
        ({"resampling": "area"}, "resampling area is for the whole image: write whole: true"),
        ({"resampling": "nearest", "whole": True}, "roi.resampling: Input should be"),
        ({"windowed_first": True, "whole": True}, "windowed_first needs resampling: area or trilinear"),
        ({"click_placement": "cells"}, "click_placement cells is for the whole image"),
        (
            {"resampling": "area", "windowed_first": True, "whole": True},
            "roi.windowed_first is for windows by percentile, range, zscore",
        ),
    ],
)
def test_a_resampling_that_is_not_served_is_refused(roi: dict[str, Any], expected: str) -> None:
    channels = [{"kind": "image", "intensity": {"method": "ellipsoid"}}]
    with pytest.raises(ModelSpecError, match=expected):
        ModelSpec.from_mapping({"roi": roi, "input": {"channels": channels}})


def test_the_least_spec_is_an_annotation_model_for_any_image_and_six_points() -> None:
    spec = ModelSpec.from_mapping(LEAST)
    assert spec.task is Task.ANNOTATION
    assert spec.prompts == (PromptKind.EXTREME_POINTS,)
    assert spec.modalities == ()
    assert spec.network is None


@pytest.mark.parametrize(
    ("kind", "channel"),
    [
        ("heatmap", HeatmapChannel()),
        ("ellipsoid", EllipsoidChannel()),
        ("hull", HullChannel()),
    ],
)
def test_a_channel_is_told_by_its_kind(kind: str, channel: Any) -> None:
    (found,) = ModelSpec.from_mapping({"input": {"channels": [{"kind": kind}]}}).input.channels
    assert found == channel


def test_shapes_run_z_y_x_while_the_roi_runs_x_y_z() -> None:
    assert FULL.input_shape == (5, 64, 48, 32)
    assert FULL.output_shape == (1, 64, 48, 32)


@pytest.mark.parametrize(
    ("output", "activation", "expected"),
    [
        ({"dtype": "UINT8"}, None, "logits do not fit into UINT8"),
        ({"dtype": "FP32", "exclusive": False}, "softmax", "needs the channels of all labels"),
    ],
)
def test_logits_need_room_and_all_channels(output: dict[str, Any], activation: str | None, expected: str) -> None:
    mapping = {**SEGMENTATION, "output": output, "network": {"name": "UNet", "activation": activation}}
    mapping["patch"] = {**mapping["patch"], "average": "logits"}
    with pytest.raises(ModelSpecError, match=expected):
        ModelSpec.from_mapping(mapping)


def test_segmentation_yields_background_and_every_label_of_its_patch() -> None:
    spec = ModelSpec.from_mapping(SEGMENTATION)
    assert spec.input_shape == (1, 48, 40, 32)
    assert spec.output_shape == (3, 48, 40, 32)
    assert ModelSpec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("patch", None, "needs a patch"),
        ("patch", {"size": [32, 32, 4], "spacing": [1, 1, 1]}, "between 8 and 512"),
        ("patch", {"size": [32, 32, 32], "spacing": [1, 1, 0]}, "spacing must be positive"),
        ("prompts", ["extreme_points"], "takes no prompts"),
        ("labels", [], "at least one label"),
        ("labels", ["lesion", "lesion"], "several labels are called 'lesion'"),
        ("input", {"channels": [{"kind": "hull"}]}, "image channels only"),
        ("input", {"channels": [{"kind": "image", "intensity": {"method": "points"}}]}, "image channels only"),
        ("task", "annotation", "a patch is for segmentation"),
    ],
)
def test_segmentation_sees_patches_and_no_prompts(field: str, value: Any, expected: str) -> None:
    with pytest.raises(ModelSpecError, match=expected):
        ModelSpec.from_mapping({**SEGMENTATION, field: value})


def test_labels_that_do_not_exclude_each_other_need_no_background() -> None:
    spec = ModelSpec.from_mapping({**SEGMENTATION, "output": {"exclusive": False}})
    assert spec.output_shape == (2, 48, 40, 32)
    with pytest.raises(ModelSpecError, match="exclusive is for segmentation"):
        ModelSpec.from_mapping({**LEAST, "output": {"exclusive": False}})


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        ({"axes": "RAR"}, "one letter of each"),
        ({"axes": "RA"}, "one letter of each"),
        ({"axes": "XYZ"}, "one letter of each"),
        ({"scale": [0.5, 0.5]}, "network.scale has 2 numbers, expected 1 or one for each of the 1 channels"),
        ({"scale": [0]}, "scale must not be 0"),
        ({"channels": [-1]}, "channels"),
    ],
)
def test_what_lies_between_network_and_model_is_checked(network: dict[str, Any], expected: str) -> None:
    with pytest.raises(ModelSpecError, match=expected):
        ModelSpec.from_mapping({**LEAST, "network": {"name": "UNet", **network}})


@pytest.mark.parametrize("axes", ["SPL", "RAS", "LPS", "SAR", "PIR"])
def test_axes_are_any_order_and_direction(axes: str) -> None:
    assert NetworkSpec(name="UNet", axes=axes).axes == axes


@pytest.mark.parametrize(
    ("roi", "channel", "expected"),
    [
        ({}, {"kind": "previous"}, r"clicks alone do not tell the object's extent: write roi: \{whole: true\}"),
        (
            {"whole": True},
            {"kind": "hull"},
            "channel hull needs more than clicks: add extreme_points or box to prompts",
        ),
        (
            {"whole": True},
            {"kind": "image", "intensity": {"method": "points"}},
            "intensity by points needs more than clicks",
        ),
    ],
)
def test_clicks_alone_make_no_extent(roi: dict[str, Any], channel: dict[str, Any], expected: str) -> None:
    channels = [*SEGMENTATION["input"]["channels"], {"kind": "clicks", "sign": "positive"}]
    spec = {**LEAST, "prompts": ["clicks"], "roi": {"whole": True}, "input": {"channels": channels}}
    assert ModelSpec.from_mapping(spec).begun_by_clicks
    assert not ModelSpec.from_mapping({**spec, "prompts": ["box", "clicks"]}).begun_by_clicks
    with pytest.raises(ModelSpecError, match=expected):
        ModelSpec.from_mapping({**spec, "roi": roi, "input": {"channels": [*channels, channel]}})


def test_the_task_decides_the_class_of_a_spec() -> None:
    assert type(ModelSpec.from_mapping(LEAST)) is AnnotationSpec
    assert type(ModelSpec.from_mapping(SEGMENTATION)) is SegmentationSpec
    assert type(ModelSpec(**SEGMENTATION)) is SegmentationSpec
    assert type(FULL) is AnnotationSpec
    assert ModelSpec.from_mapping(FULL) is FULL


def test_a_class_refuses_the_spec_of_the_other_task() -> None:
    with pytest.raises(ModelSpecError, match="task: Input should be"):
        SegmentationSpec.from_mapping({**SEGMENTATION, "task": "annotation"})
    with pytest.raises(ModelSpecError, match="task: Input should be"):
        AnnotationSpec.from_mapping(SEGMENTATION)


@pytest.mark.parametrize("data", [LEAST, SEGMENTATION])
def test_a_spec_is_copied_and_pickled_as_what_it_is(data: dict[str, Any]) -> None:
    spec = ModelSpec.from_mapping(data)
    for other in (copy.copy(spec), copy.deepcopy(spec), pickle.loads(pickle.dumps(spec)), spec.model_copy()):
        assert type(other) is type(spec)
        assert other == spec


def test_both_tasks_have_the_same_fields_in_the_same_order() -> None:
    names = list(json.loads(ModelSpec.from_mapping(LEAST).to_json()))
    assert list(json.loads(ModelSpec.from_mapping(SEGMENTATION).to_json())) == names == list(ModelSpec.model_fields)


def test_a_spec_does_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        FULL.title = "other"


# What is wrong with it


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("version", 2),
        ("task", "guessing"),
        ("prompts", ["telepathy"]),
        ("roi.size", [64, 64]),
        ("roi.size", [7, 64, 64]),
        ("roi.size", [64, 513, 64]),
        ("roi.size", [64.5, 64, 64]),
        ("roi.margin_mm", -1),
        ("roi.margin_fraction", -0.1),
        ("roi.margin_fraction", math.inf),
        ("input.dtype", "INT8"),
        ("input.channels", []),
        ("input.channels", [{"kind": "edges"}]),
        ("input.channels", [{}]),
        ("input.channels.2.sigma", 0),
        ("input.channels.2.sigma", math.nan),
        ("input.channels.0.intensity", {"method": "magic"}),
        ("input.channels.0.intensity", None),
        ("output.dtype", "INT64"),
        ("output.threshold", 0),
        ("output.threshold", 1),
        ("output.threshold", math.nan),
        ("metrics", {"dice": math.nan}),
        ("metrics", {"dice": "good"}),
        ("network", {"arguments": {}}),
        ("colour", "blue"),
        ("roi.colour", "blue"),
    ],
)
def test_a_wrong_field_is_named(path: str, value: Any) -> None:
    with pytest.raises(ModelSpecError, match=f"^model spec: .*{path.split('.')[0]}"):
        ModelSpec.from_mapping(with_field(path, value))


def test_every_wrong_field_is_named_with_its_path() -> None:
    data = with_field("output.threshold", 7) | {"version": 2}
    with pytest.raises(ModelSpecError) as caught:
        ModelSpec.from_mapping(data)
    assert "version: " in caught.value.message
    assert "output.threshold: " in caught.value.message


def test_a_spec_without_an_input_is_refused() -> None:
    with pytest.raises(ModelSpecError, match="input: Field required"):
        ModelSpec.from_json("{}")


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "7", '"spec"', b"\xff"])
def test_what_is_no_json_object_is_refused(text: str | bytes) -> None:
    with pytest.raises(ModelSpecError, match="model spec: spec: "):
        ModelSpec.from_json(text)


@pytest.mark.parametrize("data", [None, [], 7, "spec"])
def test_what_is_no_mapping_is_refused(data: object) -> None:
    with pytest.raises(ModelSpecError, match="model spec: spec: "):
        ModelSpec.from_mapping(data)


# Windows


@pytest.mark.parametrize("method", ["percentile", "ellipsoid", "points"])
@pytest.mark.parametrize(("low", "high"), [(-1, 99), (1, 101), (-160, 240)])
def test_percentiles_lie_between_0_and_100(method: Any, low: float, high: float) -> None:
    with pytest.raises(ValidationError, match="low and high are percentiles, between 0 and 100"):
        Intensity(method=method, low=low, high=high)


@pytest.mark.parametrize("method", ["percentile", "range"])
@pytest.mark.parametrize(("low", "high"), [(50, 50), (60, 40)])
def test_low_lies_below_high(method: Any, low: float, high: float) -> None:
    with pytest.raises(ValidationError, match="low must be below high"):
        Intensity(method=method, low=low, high=high)


def test_a_range_may_be_any_two_numbers() -> None:
    assert Intensity(method="range", low=-1350, high=150).high == 150


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["low", "high", "width"])
def test_a_window_has_no_nan_and_no_infinity(name: str, value: float) -> None:
    with pytest.raises(ValidationError, match=name):
        Intensity(method="range", **{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("width", [0, -4])
def test_a_window_has_a_width(width: float) -> None:
    with pytest.raises(ValidationError, match="width"):
        Intensity(method="points", width=width)


# Scribbles and lassos


def with_strokes(prompts: list[str], *drawn: str) -> ModelSpec:
    strokes = [{"kind": "strokes", "prompt": prompt, "sign": "positive"} for prompt in drawn]
    return ModelSpec.from_mapping({"prompts": prompts, "input": {"channels": [*LEAST["input"]["channels"], *strokes]}})


@pytest.mark.parametrize(
    ("prompts", "drawn", "as_clicks"),
    [
        (["extreme_points"], [], []),
        (["extreme_points", "clicks"], [], ["scribbles", "lasso"]),
        (["extreme_points", "clicks", "scribbles"], ["scribbles"], ["lasso"]),
        (["extreme_points", "lasso"], ["lasso"], []),
    ],
)
def test_what_a_spec_does_not_announce_is_given_as_clicks(
    prompts: list[str], drawn: list[str], as_clicks: list[str]
) -> None:
    spec = with_strokes(prompts, *drawn)
    assert [kind.value for kind in spec.prompts_as_clicks] == as_clicks
    assert [kind.value for kind in spec.accepted_prompts] == prompts + as_clicks
    assert ModelSpec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize(
    ("prompts", "drawn", "expected"),
    [
        (["clicks", "box", "scribbles"], [], "scribbles in prompts needs a channel strokes of scribbles"),
        (["clicks", "box", "lasso"], ["scribbles"], "lasso in prompts needs a channel strokes of lasso"),
        (["clicks", "box"], ["lasso"], "the channels strokes of lasso would be empty: add lasso to prompts"),
    ],
)
def test_strokes_are_announced_exactly_where_there_are_channels(
    prompts: list[str], drawn: list[str], expected: str
) -> None:
    with pytest.raises(ModelSpecError, match=expected):
        with_strokes(prompts, *drawn)


def test_strokes_do_not_keep_clicks_from_starting_an_object() -> None:
    channels = [{"kind": "clicks", "sign": "positive"}, {"kind": "strokes", "prompt": "lasso", "sign": "positive"}]
    spec = ModelSpec.from_mapping(
        {"prompts": ["clicks", "lasso"], "roi": {"whole": True}, "input": {"channels": channels}}
    )
    assert spec.begun_by_clicks
