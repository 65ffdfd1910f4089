"""Random bundles: transforms, keys, enums, lists, expressions and orders, from the stored image to the labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.exporter.bundles import UNET, config

__all__ = ["random_config"]

Transform = dict[str, Any]
UNKNOWN = "$bool(glob.glob('*'))"
KEYS: list[Any] = [
    *("image", "@image_key", "$@image_key", "$monai.utils.CommonKeys.IMAGE", "$CommonKeys.IMAGE", "%image_key"),
    *(["image"], ["@image_key"], ["$monai.utils.enums.CommonKeys.IMAGE"], "$[@image_key]", "$('image',)"),
    *("@both", ["image", "label"]),
]
FLAGS: list[Any] = [True, False, "$True", "$not True", "@yes", "$1 > 2", "$not @yes", "$@yes and True", 1, 0]
DISABLED: list[Any] = [True, "true", "false", " TRUE ", "no", "$1 == 2", "@yes", "$'true'", 1, "$not @yes", UNKNOWN]
# Of each pair, the second list is what is not served, or not in this form.
AXES: tuple[list[Any], list[Any]] = (
    ["RAS", "LPS", "@axes", "SAR", ["R", "A", "S"], "$'R' + 'AS'", "$@axes[::-1]"],
    ["ras", "RA", ["RL", "AP", "SI"], "XYZ", UNKNOWN, None],
)
SPACINGS: tuple[list[Transform], list[Transform]] = (
    [
        {"pixdim": [1.0, 1.0, 1.0]},
        {"pixdim": 1.5, "mode": "bilinear"},
        {"pixdim": "$[2.0] * 3", "mode": ["bilinear"], "dtype": "$np.float64"},
        {"pixdim": "$tuple(@spacing)", "mode": "$monai.utils.GridSampleMode.BILINEAR", "padding_mode": "border"},
        {"pixdim": "@spacing", "mode": "$GridSampleMode.BILINEAR.value"},
        {"pixdim": ["@spacing#0", "@spacing::1", 1.7], "padding_mode": "$monai.utils.enums.GridSamplePadMode.BORDER"},
        {"pixdim": [1.1, 0.9, 2.3], "align_corners": True},
        {"pixdim": [1.1, 1.2, 1.3], "mode": 1},
        {"pixdim": [1.1, 1.2, 1.3], "mode": "$1", "padding_mode": "nearest"},
    ],
    [
        *({"pixdim": 1.2, "mode": mode} for mode in ("nearest", 0, 3, "bicubic", "$GridSampleMode('bilinear')")),
        *({"pixdim": 1.2, "padding_mode": mode} for mode in ("zeros", "reflection", "reflect")),
        *(
            {"pixdim": pixdim}
            for pixdim in ([1.2, 1.2], [1.2, 1.2, -1.0], [1.2] * 4, UNKNOWN, [0, 1.0, 1.0], ["@spacing"])
        ),
        *({"pixdim": 1.1, name: True} for name in ("scale_extent", "recompute_affine", "diagonal", "lazy")),
        {"pixdim": [1.0, 1.0, 1.0], "min_pixdim": [1.0, 1.0, 1.0], "max_pixdim": [2.0, 2.0, 2.0]},
        {"pixdim": 1.4, "dtype": "$np.float32"},
    ],
)
LOADS: tuple[list[Transform], list[Transform]] = (
    [
        *({"reader": reader} for reader in ("NibabelReader", "$monai.data.NibabelReader", "nibabelreader")),
        {"image_only": True, "simple_keys": True},
        {"dtype": "$np.float32"},
        {"dtype": "float64", "ensure_channel_first": True},
    ],
    [
        {"dtype": "$torch.int16"},
        {"reader": "ITKReader", "reverse_indexing": True},
        {"reader": "NibabelReader", "squeeze_non_spatial_dims": True},
        {"reader": "scripts.Own"},
        {"reader": "NumpyReader"},
    ],
)
FIRSTS: tuple[list[Transform], list[Transform]] = (
    [{"channel_dim": None}, {"channel_dim": "no_channel"}, {"strict_check": False}, {"channel_dim": "$None"}],
    [{"channel_dim": 0}, {"channel_dim": -1}, {"channel_dim": UNKNOWN}],
)
STEPS: tuple[list[Transform], list[Transform]] = (
    [
        *({"_target_": name} for name in ("EnsureTyped", "monai.transforms.Identityd")),
        {"_target_": "CastToTyped", "dtype": "$torch.float32"},
        {"_target_": "EnsureTyped", "dtype": ["float32"], "data_type": "tensor", "device": "cpu"},
        {"_target_": "ToDeviced", "device": "$torch.device('cpu')"},
        {"_target_": "CopyItemsd", "names": "other", "times": 1},
        {"_target_": "DeleteItemsd", "keys": "other"},
        {"_target_": "SelectItemsd"},
        {"_target_": "CropForegroundd", "source_key": "image"},
        {"_target_": "CropForegroundd", "source_key": "image", "margin": 3, "allow_smaller": False},
        {"_target_": "SpatialPadd", "spatial_size": [32, 32, 32]},
        {"_target_": "DivisiblePadd", "k": 8},
        {"_target_": "BorderPadd", "spatial_border": 2},
    ],
    [
        *({"_target_": "CastToTyped", "dtype": kind} for kind in ("$np.uint8", "$torch.float16", "int16")),
        *({"_target_": "Lambdad", "func": f"$lambda x: x {tail}"} for tail in ("* 2", "")),
        *({"_target_": name} for name in ("scripts.Own", "scripts.transforms.ScaleIntensityd", "HistogramNormalized")),
        *({"_target_": name} for name in ("ToNumpyd", "ToTensord", "Flipd")),
        {"_target_": "EnsureTyped", "data_type": "numpy"},
        {"_target_": "ThresholdIntensityd", "threshold": 0.1},
        {"_target_": "AdjustContrastd", "gamma": 2.0},
        {"_target_": "ShiftIntensityd", "offset": 0.3},
        {"_target_": "ClipIntensityPercentilesd", "lower": 5, "upper": 95},
        {"_target_": "GaussianSmoothd", "sigma": 1.0},
        {"_target_": "MedianSmoothd", "radius": 1},
        {"_target_": "Rotate90d", "k": 1},
        {"_target_": "Transposed", "indices": [0, 2, 1, 3]},
        {"_target_": "Zoomd", "zoom": 1.2},
        {"_target_": "RepeatChanneld", "repeats": 1},
        {"_target_": "RandShiftIntensityd", "offsets": 0.5, "prob": 1.0},
        {"_target_": "RandFlipd", "prob": 0.0},
        {"_target_": "DataStatsd", "value_range": False},
        {"_target_": "Resized", "spatial_size": [16, 16, 16]},
        {"_target_": "ConcatItemsd", "name": "image"},
        {"_target_": "CenterSpatialCropd", "roi_size": [10, 10, 10]},
        {"_target_": "ResizeWithPadOrCropd", "spatial_size": [20, 20, 20]},
        {"_target_": "SpatialCropd", "roi_center": [8, 8, 8], "roi_size": [8, 8, 8]},
    ],
)
INFERERS: tuple[list[Transform], list[Transform]] = (
    [
        *({"mode": mode} for mode in ("gaussian", "$monai.utils.BlendMode.GAUSSIAN", "$BlendMode.CONSTANT.value")),
        *({"mode": "gaussian", "sigma_scale": sigma} for sigma in (0.5, [0.2, 0.2, 0.2], "$1 / 4")),
        *({"overlap": overlap} for overlap in (0, 0.25, 0.75, "$1/2", [0.5, 0.5, 0.5])),
        *({"roi_size": size} for size in ([24, 16, 16], 16, "$[16] * 3", [48, 48, 48], "@roi")),
        *({"padding_mode": mode, "roi_size": [32, 32, 32]} for mode in ("replicate", "constant")),
        {"cval": 0.7, "roi_size": [32, 32, 32]},
        {"cval": "$-1", "roi_size": [32, 24, 32], "mode": "gaussian"},
        {"sw_device": "cpu", "device": "cpu", "progress": False, "cache_roi_weight_map": True},
        {"_target_": "SlidingWindowInfererAdapt"},
        {"_target_": "monai.inferers.SlidingWindowInferer", "buffer_steps": 2, "buffer_dim": 0},
    ],
    [
        *({"padding_mode": mode, "roi_size": [32, 32, 32]} for mode in ("reflect", "circular")),
        *({"overlap": overlap} for overlap in ([0.5, 0.25, 0.5], UNKNOWN, 1.0)),
        *({"roi_size": size} for size in ([16, 16, -1], None, [16, 16], UNKNOWN)),
        *({"mode": mode} for mode in ("linear", UNKNOWN)),
        {"mode": "gaussian", "sigma_scale": [0.1, 0.2, 0.1]},
        {"roi_weight_map": "$torch.ones(16, 16, 16)"},
        {"with_coord": True},
        {"_target_": "SimpleInferer"},
        {"_target_": "scripts.Own"},
        {"_target_": "SliceInferer", "spatial_dim": 0, "roi_size": [16, 16]},
        {"_disabled_": True},
    ],
)
ACTIVATIONS: tuple[list[Transform], list[Transform]] = (
    [
        *({"softmax": flag} for flag in (True, [True], "$True", "@yes", "$not @yes")),
        *({"sigmoid": flag} for flag in (True, [True], "$1 < 2", False)),
        {"softmax": True, "dim": 0},
        {"sigmoid": True, "softmax": False, "other": None},
    ],
    [
        *({"softmax": True, "dim": dim} for dim in (1, -1)),
        {"softmax": UNKNOWN},
        {"other": "$torch.sigmoid"},
        {"softmax": True, "sigmoid": True},
        {"sigmoid": [True, False]},
    ],
)
DECISIONS: tuple[list[Transform], list[Transform]] = (
    [
        *({"argmax": flag} for flag in (True, [True], "$True", "@yes")),
        *({"threshold": number} for number in (0.5, 0.3, "$1 / 2", [0.6])),
        *({"argmax": True, "to_onehot": number} for number in ("@channels", None)),
        {"argmax": True, "dim": 0},
        {"argmax": True, "keepdim": True, "dtype": "$torch.uint8"},
        {"argmax": False, "threshold": 0.5},
    ],
    [
        *({"threshold": number} for number in (0.0, -0.2, 1.5, UNKNOWN, True, "0.5", {"0": 0.5})),
        {"argmax": UNKNOWN},
        {"argmax": True, "dim": 1},
        {"argmax": True, "keepdim": False},
        {"rounding": "torchrounding"},
        {"argmax": True, "threshold": 0.5},
        {"argmax": True, "select_classes": [1]},
    ],
)
AFTERWARDS: tuple[list[Transform], list[Transform]] = (
    [
        {"_target_": "EnsureTyped"},
        {"_target_": "KeepLargestConnectedComponentd"},
        {"_target_": "FillHolesd"},
        {"_target_": "RemoveSmallObjectsd", "min_size": 5},
        {"_target_": "LabelFilterd", "applied_labels": [1]},
        {"_target_": "CastToTyped", "dtype": "$torch.uint8"},
        {"_target_": "AsDiscreted", "to_onehot": "@channels"},
    ],
    [
        {"_target_": "Lambdad", "func": "$lambda x: 1 - x"},
        {"_target_": "MeanEnsembled"},
        {"_target_": "ScaleIntensityd"},
        {"_target_": "SqueezeDimd", "dim": 0},
    ],
)


class _Choices:
    """Random choices."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)

    def of(self, values: list[Any]) -> Any:
        return values[int(self.random.integers(len(values)))]

    def pick(self, values: tuple[list[Any], list[Any]], *, odd: float = 0.015) -> Any:
        """Return one of the served values, or seldom one of the others."""
        return self.of(values[self.chance(odd)])

    def chance(self, share: float) -> bool:
        return bool(self.random.random() < share)

    def image(self, transform: Transform, *, odd: float = 0.5) -> Transform:
        """Return a transform for the image, its key and name in one of their spellings."""
        keys = self.of(KEYS) if self.chance(odd) else "image"
        result = {"keys": keys, **transform}
        if result["keys"] in ("@both", ["image", "label"]):
            result["allow_missing_keys"] = self.of([True, "$True"])
            if isinstance(result.get("mode"), str) and self.chance(0.5):
                result["mode"] = [result["mode"], "nearest"]
        name = result["_target_"]
        if "." not in name and self.chance(0.15):
            result["_target_"] = self.of([f"monai.transforms.{name}", f"{name[:-1]}D", f"{name[:-1]}Dict"])
        return result


def random_config(seed: int, *, middle: float, spread: float, channels: int = 2) -> Transform:
    """Return the config of a bundle.

    Args:
        seed: Seed of every choice.
        middle: Mean of the images' values.
        spread: Their standard deviation.
        channels: Number of the network's output channels.
    """
    choices = _Choices(seed)
    transforms, extra = _before(choices, middle, spread)
    inferer = {"_target_": "SlidingWindowInferer", "roi_size": [16, 16, 16], "sw_batch_size": 1, "overlap": 0.5}
    return config(
        imports=[
            *("$import glob", "$import numpy as np", "$import torch", "$import monai"),
            *(f"$from monai.utils import {name}" for name in ("CommonKeys", "GridSampleMode", "BlendMode")),
        ],
        image_key="image",
        both=["image", "label"],
        axes="PLI",
        spacing=[1.3, 1.2, 1.3],
        roi=[16, 24, 16],
        yes=True,
        channels=channels,
        network_def={**UNET, "out_channels": choices.of([channels, "@channels", "$@channels"])},
        preprocessing=transforms,
        inferer={**inferer, **choices.pick(INFERERS)},
        postprocessing=_after(choices, several=channels > 1),
        handlers=[_loader(choices)],
        **extra,
    )


def _before(choices: _Choices, middle: float, spread: float) -> tuple[Any, Transform]:
    """Return the preprocessing, and the entries of the config that it refers to."""
    chain = [choices.image(_intensity(choices, middle, spread))]
    if choices.chance(0.3):
        chain.append(choices.image(_rescaling(choices)))
    for _ in range(int(choices.random.integers(0, 3))):
        chain.insert(int(choices.random.integers(len(chain) + 1)), choices.image(choices.pick(STEPS, odd=0.03)))
    spacing = choices.image({"_target_": "Spacingd", **choices.pick(SPACINGS)})
    chain.insert(int(choices.random.integers(len(chain) + 1)), spacing)
    axes = {"axcodes": choices.pick(AXES)}
    if choices.chance(0.3):
        axes = choices.of([{"as_closest_canonical": True}, {"as_closest_canonical": "$True"}, {**axes, "labels": None}])
    orientation = choices.image({"_target_": "Orientationd", **axes})
    chain.insert(int(choices.random.integers(len(chain) + 1)) if choices.chance(0.1) else 0, orientation)
    if choices.chance(0.02):
        chain.remove(choices.of([orientation, spacing]))
    if choices.chance(0.03):
        chain.append(choices.of([orientation, spacing, choices.image({"_target_": "Spacingd", "pixdim": 1.9})]))
    if choices.chance(0.2):
        place = int(choices.random.integers(len(chain)))
        chain[place] = {**chain[place], "_disabled_": choices.of(DISABLED)}
    if choices.chance(0.1):
        chain[-1] = {**chain[-1], **choices.of([{"_desc_": "last"}, {"_mode_": "default"}, {"_mode_": "callable"}])}
    loads = choices.pick(LOADS)
    start = [choices.image({"_target_": "LoadImaged", **loads})]
    if not loads.get("ensure_channel_first"):
        start.append(choices.image({"_target_": "EnsureChannelFirstd", **choices.pick(FIRSTS)}))
    if choices.chance(0.3):
        split = int(choices.random.integers(len(chain)))
        chain = [*chain[:split], {"_target_": "Compose", "transforms": chain[split:]}]
    if choices.chance(0.05):
        chain[-1] = {"_target_": "Compose", "transforms": [chain[-1]], "lazy": choices.of([True, False, None])}
    if choices.chance(0.3):
        whole = choices.of(["$@first + @second", "$list(@first) + @second", "$[*@first, *@second]"])
        return {"_target_": "Compose", "transforms": whole}, {"first": start, "second": chain}
    if choices.chance(0.1):
        return {"_target_": "Compose", "transforms": ["@load", *start[1:], *chain]}, {"load": start[0]}
    return {"_target_": choices.of(["Compose", "monai.transforms.Compose"]), "transforms": [*start, *chain]}, {}


def _intensity(choices: _Choices, middle: float, spread: float) -> Transform:
    """Return a first intensity transform."""
    random, choose, pick = choices.random, choices.of, choices.pick
    low, high = middle - random.uniform(0.5, 3) * spread, middle + random.uniform(0.5, 3) * spread
    kind = int(random.integers(5))
    if kind in (0, 1):
        ends = pick(
            (
                [{"b_min": 0.0, "b_max": 1.0}, {"b_min": -1, "b_max": "$4 / 2"}, {}],
                [{"b_min": 1.0, "b_max": 0.0}, {"b_min": 0}],
            )
        )
        clip = choose([{}, {"clip": choose(FLAGS)}])
        kinds = pick((["$np.float32", "$torch.float32", "float32", None], ["$np.int16", UNKNOWN, "$torch.float64"]))
        name = choose(["ScaleIntensityRanged"] * 6 + ["monai.transforms.intensity.dictionary.ScaleIntensityRanged"])
        arguments = {"_target_": name, "a_min": low, "a_max": high, **ends, **clip}
        return {**arguments, "dtype": kinds} if choices.chance(0.3) else arguments
    if kind == 2:
        flags = [
            {},
            {"nonzero": choose(FLAGS)},
            {"channel_wise": choose(FLAGS)},
            {"nonzero": True, "channel_wise": True},
        ]
        return {
            "_target_": "NormalizeIntensityd",
            **pick((flags, [{"nonzero": UNKNOWN}, {"subtrahend": 1}, {"divisor": 2}])),
        }
    if kind == 3:
        numbers: Any = pick(([float(middle), f"${middle} + 0"], [f"$np.array({middle})", [1, 2], "1.0"]))
        more = pick(([{}, {"nonzero": False}], [{"nonzero": True}, {"channel_wise": True}]))
        given = {"subtrahend": numbers, "divisor": float(spread), **more}
        one = {"subtrahend": [float(middle)], "divisor": f"$[{spread}]", "channel_wise": True}
        return {"_target_": "NormalizeIntensityd", **choose([given, given, one])}
    flags = [{"clip": True, "relative": choose([False, "$False"])}, {"clip": "@yes"}, {"clip": "$1 < 2"}]
    clip = choices.pick((flags, [{"clip": True, "relative": True}, {"clip": False}, {}, {"clip": UNKNOWN}]))
    lower, upper = choose([(1, 99), (0, 100), (0.5, 99.5), ("$5", 95)])
    ends = {"lower": lower, "upper": upper, "b_min": pick(([0.0, -1.0], [None])), "b_max": 1.0, **clip}
    return {"_target_": "ScaleIntensityRangePercentilesd", **ends, **choose([{}, {}, {"channel_wise": True}])}


def _rescaling(choices: _Choices) -> Transform:
    """Return a further intensity transform."""
    choose, pick = choices.of, choices.pick
    kind = int(choices.random.integers(4))
    if kind == 0:
        ends = pick(
            (
                [{}, {"minv": -1.0, "maxv": 1.0}, {"minv": None, "maxv": 2.0}, {"factor": 0.5}, {"channel_wise": True}],
                [{"minv": 1.0, "maxv": 0.0}, {"minv": UNKNOWN}],
            )
        )
        return {"_target_": "ScaleIntensityd", **ends}
    if kind == 1:
        factor = pick(([0.5, -0.2, "$1 / 2"], [-1.5, None, UNKNOWN]))
        return {"_target_": "ScaleIntensityd", "minv": None, "maxv": "$None", "factor": factor}
    if kind == 2:
        return {
            "_target_": "NormalizeIntensityd",
            "subtrahend": choose([0.5, "$0.5 * 1"]),
            "divisor": choose([0.5, "$1/4"]),
        }
    return {"_target_": choose(["NormalizeIntensityd", "ScaleIntensityd"])}


def _after(choices: _Choices, *, several: bool) -> Any:
    """Return the postprocessing; it always brings the output back to the image's grid."""
    keys = ["pred", ["pred"], "$'pred'", "$monai.utils.CommonKeys.PRED"]

    def pred(name: str, arguments: Transform) -> Transform:
        return {"_target_": name, "keys": choices.of(keys), **arguments}

    chain = []
    if choices.chance(0.85):
        chain.append(pred("Activationsd", choices.pick(ACTIVATIONS)))
    if choices.chance(0.97):
        decision = choices.pick(DECISIONS)
        if "argmax" in decision and not several:
            decision = {"threshold": 0.5}
        chain.append(pred("AsDiscreted", decision))
    linear = choices.of(
        [{"nearest_interp": False}] * 9 + [{}, {"nearest_interp": "$not True"}, {"nearest_interp": True}]
    )
    invert = pred("Invertd", {"transform": "@preprocessing", "orig_keys": "image", **linear})
    place = int(choices.random.integers(len(chain) + 1)) if choices.chance(0.15) else min(1, len(chain))
    chain.insert(place, invert)
    if choices.chance(0.15):
        chain.append(pred("", choices.pick(AFTERWARDS, odd=0.03)))
    if choices.chance(0.1) and chain[-1] is not invert:  # without Invert the output is on the network's grid
        chain[-1] = {**chain[-1], "_disabled_": choices.of(DISABLED)}
    return {"_target_": "Compose", "transforms": chain}


def _loader(choices: _Choices) -> Transform:
    loads = [
        "$@bundle_root + '/models/model.pt'",
        "models/model.pt",
        "$os.path.join(@bundle_root, 'models', 'model.pt')",
    ]
    entries = [{"model": "@network"}, {"model": "$@network"}, {"ema": "@network", "optimizer": "@device"}]
    return {"_target_": "CheckpointLoader", "load_path": choices.of(loads), "load_dict": choices.of(entries)}
