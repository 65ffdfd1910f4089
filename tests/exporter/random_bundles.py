"""Random preprocessing of bundles: transforms, keys, enums, lists, expressions and orders."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.exporter.bundles import config

__all__ = ["random_config"]

Transform = dict[str, Any]
KEYS: list[Any] = [
    "image",
    ["image"],
    "@image_key",
    ["@image_key"],
    "$monai.utils.CommonKeys.IMAGE",
    ["$monai.utils.enums.CommonKeys.IMAGE"],
    "$[@image_key]",
]
AXES: list[Transform] = [
    {"axcodes": "RAS"},
    {"axcodes": "LPS"},
    {"axcodes": "@axes"},
    {"axcodes": "SAR"},
    {"as_closest_canonical": True},
]
SPACINGS: list[Transform] = [
    {"pixdim": [1.0, 1.0, 1.0]},
    {"pixdim": 1.5, "mode": "bilinear"},
    {"pixdim": "$[2.0] * 3", "mode": ["bilinear"]},
    {"pixdim": "@spacing", "mode": "$monai.utils.GridSampleMode.BILINEAR", "padding_mode": "border"},
    {"pixdim": [1.1, 0.9, 2.3], "align_corners": True},
    {"pixdim": [1.0, 1.0, 1.0], "mode": "nearest"},
    {"pixdim": [1.0, 1.0, 1.0], "scale_extent": True},
]
FLAGS: list[Any] = [True, False, "$True", "$not True", "@yes", "$1 > 2", "$bool(glob.glob('*'))"]
DISABLED: list[Any] = [False, True, "true", "false", " TRUE ", "no", "$1 == 2", "@yes", "$not glob.glob('x')"]
HARMLESS: list[Transform] = [
    {"_target_": "EnsureTyped"},
    {"_target_": "CastToTyped", "dtype": "$torch.float32"},
    {"_target_": "monai.transforms.Identityd"},
    {"_target_": "EnsureTyped", "dtype": ["float32"]},
]
OTHERS: list[Transform] = [
    {"_target_": "ThresholdIntensityd", "threshold": 0.1},
    {"_target_": "CastToTyped", "dtype": "$np.uint8"},
    {"_target_": "scripts.Own"},
    {"_target_": "AdjustContrastd", "gamma": 2.0},
    {"_target_": "Flipd", "spatial_axis": 0},
]


def random_config(seed: int, *, middle: float, spread: float) -> dict[str, Any]:
    """Return the config of a bundle.

    Args:
        seed: Seed of every choice.
        middle: Mean of the images' values.
        spread: Their standard deviation.
    """
    random = np.random.default_rng(seed)

    def choose(values: list[Any]) -> Any:
        return values[int(random.integers(len(values)))]

    def image(transform: Transform) -> Transform:
        return {**transform, "keys": choose(KEYS)}

    chain = [image(_intensity(random, choose, middle, spread)) for _ in range(int(random.integers(0, 4)))]
    chain += [image(choose(HARMLESS)) for _ in range(int(random.integers(0, 2)))]
    if random.random() < 0.1:
        chain.append(image(choose(OTHERS)))
    if chain and random.random() < 0.3:
        place = int(random.integers(len(chain)))
        chain[place] = {**chain[place], "_disabled_": choose(DISABLED)}
    if len(chain) > 1 and random.random() < 0.3:
        chain = [{"_target_": "Compose", "transforms": chain[:1]}, *chain[1:]]
    spacing = image({"_target_": "Spacingd", **choose(SPACINGS)})
    chain.insert(int(random.integers(len(chain) + 1)), spacing)
    start = [
        image({"_target_": "LoadImaged"}),
        image({"_target_": "EnsureChannelFirstd"}),
        image({"_target_": "Orientationd", **choose(AXES)}),
    ]
    transforms: Any = [*start, *chain]
    extra: dict[str, Any] = {}
    if random.random() < 0.3:
        extra, transforms = {"first": start, "second": chain}, "$@first + @second"
    return config(
        imports=["$import glob", "$import numpy as np", "$import torch", "$import monai"],
        image_key="image",
        axes="PLI",
        spacing=[1.3, 1.3, 1.3],
        yes=True,
        preprocessing={"_target_": "Compose", "transforms": transforms},
        **extra,
    )


def _intensity(random: np.random.Generator, choose: Any, middle: float, spread: float) -> Transform:
    low, high = middle - random.uniform(0.5, 3) * spread, middle + random.uniform(0.5, 3) * spread
    kind = int(random.integers(6))
    if kind == 0:
        ends = choose([{"b_min": 0.0, "b_max": 1.0}, {"b_min": -1, "b_max": "$4 / 2"}, {}])
        clip = choose([{}, {"clip": choose(FLAGS)}])
        return {"_target_": "ScaleIntensityRanged", "a_min": low, "a_max": high, **ends, **clip}
    if kind == 1:
        return {"_target_": "NormalizeIntensityd", **choose([{}, {"nonzero": choose(FLAGS)}, {"channel_wise": True}])}
    if kind == 2:
        numbers: Any = choose([float(middle), [float(middle)], f"${middle} + 0"])
        return {"_target_": "NormalizeIntensityd", "subtrahend": numbers, "divisor": float(spread)}
    if kind == 3:
        return {"_target_": "ScaleIntensityd", **choose([{}, {"minv": -1.0, "maxv": 1.0}, {"minv": None, "maxv": 2.0}])}
    if kind == 4:
        return {"_target_": "ScaleIntensityd", "minv": None, "maxv": "$None", "factor": choose([0.5, -0.2])}
    ends = {"b_min": 0.0, "b_max": 1.0, "clip": choose(FLAGS), "relative": choose([False, "$False"])}
    return {"_target_": "ScaleIntensityRangePercentilesd", "lower": 1, "upper": 99, **ends}
