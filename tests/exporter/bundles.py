"""MONAI bundles as the model zoo has them, written with MONAI's own tools, with random weights."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import torch
from monai.bundle.config_parser import ConfigParser

METADATA: dict[str, Any] = {
    "version": "0.5.4",
    "monai_version": "1.4.0",
    "pytorch_version": "2.4.0",
    "numpy_version": "1.24.4",
    "name": "Spleen CT segmentation",
    "task": "Decathlon spleen segmentation",
    "description": "Random weights.",
    "authors": "Nobody",
    "copyright": "Copyright (c) Nobody",
    "eval_metrics": {"mean_dice": 0.96},
    "network_data_format": {
        "inputs": {
            "image": {
                "type": "image",
                "format": "hounsfield",
                "modality": "CT",
                "num_channels": 1,
                "spatial_shape": [32, 32, 16],
                "dtype": "float32",
                "value_range": [0, 1],
                "is_patch_data": True,
                "channel_def": {"0": "image"},
            }
        },
        "outputs": {
            "pred": {
                "type": "image",
                "format": "segmentation",
                "num_channels": 2,
                "spatial_shape": [32, 32, 16],
                "dtype": "float32",
                "value_range": [0, 1],
                "is_patch_data": True,
                "channel_def": {"0": "background", "1": "spleen"},
            }
        },
    },
}
UNET = {
    "_target_": "UNet",
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": "$len(@classes)",
    "channels": [4, 8, 16],
    "strides": [2, 2],
    "num_res_units": 1,
    "norm": "batch",
}
NETWORKS: dict[str, dict[str, Any]] = {
    "UNet": UNET,
    "DynUNet": {
        "_target_": "monai.networks.nets.DynUNet",
        "spatial_dims": 3,
        "in_channels": 1,
        "out_channels": 2,
        "kernel_size": [3, 3, 3],
        "strides": [1, 2, [2, 2, 1]],
        "upsample_kernel_size": [2, [2, 2, 1]],
        "filters": [4, 8, 16],
        "norm_name": "instance",
        "res_block": True,
    },
    "SegResNet": {"_target_": "SegResNet", "init_filters": 8, "out_channels": 2, "dropout_prob": 0.2},
}
RANGE = {"_target_": "ScaleIntensityRanged", "keys": "image", "a_min": -57, "a_max": 164, "b_min": 0.0, "b_max": 1.0}
CONFIG: dict[str, Any] = {
    "imports": ["$import glob", "$import os"],
    "bundle_root": ".",
    "classes": ["background", "spleen"],
    "output_dir": "$@bundle_root + '/eval'",
    "datalist": "$list(sorted(glob.glob(@bundle_root + '/*.nii.gz')))",
    "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
    "network_def": UNET,
    "network": "$@network_def.to(@device)",
    "preprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "LoadImaged", "keys": "image"},
            {"_target_": "EnsureChannelFirstd", "keys": "image"},
            {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
            {"_target_": "Spacingd", "keys": "image", "pixdim": [1.5, 1.5, 2.0], "mode": "bilinear"},
            {
                "_target_": "ScaleIntensityRanged",
                "keys": "image",
                "a_min": -57,
                "a_max": 164,
                "b_min": 0,
                "b_max": 1,
                "clip": True,
            },
            {"_target_": "EnsureTyped", "keys": "image"},
        ],
    },
    "inferer": {
        "_target_": "SlidingWindowInferer",
        "roi_size": [32, 32, 16],
        "sw_batch_size": 4,
        "overlap": 0.5,
    },
    "postprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "Activationsd", "keys": "pred", "softmax": True},
            {"_target_": "Invertd", "keys": "pred", "transform": "@preprocessing", "orig_keys": "image"},
            {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
            {"_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir"},
        ],
    },
    "handlers": [
        {
            "_target_": "CheckpointLoader",
            "load_path": "$@bundle_root + '/models/model.pt'",
            "load_dict": {"model": "@network"},
        }
    ],
    "run": ["$@evaluator.run()"],
}


def config(**changes: Any) -> dict[str, Any]:
    """Return the config of a bundle like ``spleen_ct_segmentation``, with changed entries."""
    return {**copy.deepcopy(CONFIG), **changes}


def metadata(labels: dict[str, str] | None = None, **changes: Any) -> dict[str, Any]:
    """Return the metadata of such a bundle, with other labels or changed entries."""
    result = {**copy.deepcopy(METADATA), **changes}
    if labels is not None:
        result["network_data_format"]["outputs"]["pred"]["channel_def"] = labels
    return result


def deep_edit() -> dict[str, Any]:
    """Return the config of a bundle like MONAI's DeepEdit: one object, clicks on and beside it."""
    content = config(
        label_names={"spleen": 1, "background": 0},
        first=[
            {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
            {**RANGE, "clip": True},
        ],
        clicks=[
            {"_target_": "scripts.transforms.OrientationGuidanceMultipleLabelDeepEditd", "ref_image": "image"},
            {"_target_": "AddGuidanceFromPointsDeepEditd", "ref_image": "image", "label_names": "@label_names"},
            {"_target_": "Resized", "keys": "image", "spatial_size": [32, 32, 32], "mode": "area"},
            {"_target_": "ResizeGuidanceMultipleLabelDeepEditd", "guidance": "guidance", "ref_image": "image"},
            {
                "_target_": "AddGuidanceSignalDeepEditd",
                "keys": "image",
                "guidance": "guidance",
                "number_intensity_ch": 1,
            },
        ],
        network_def={**NETWORKS["DynUNet"], "in_channels": "$len(@label_names) + 1", "strides": [1, 2, 2]},
        inferer={"_target_": "SimpleInferer"},
    )
    content["network_def"]["upsample_kernel_size"] = [2, 2]
    content["preprocessing"] = {"_target_": "Compose", "transforms": "$@first + @clicks"}
    return content


def network_of(content: dict[str, Any]) -> torch.nn.Module:
    """Build the network of a config with MONAI's own parser."""
    parser = ConfigParser(copy.deepcopy({key: value for key, value in content.items() if key != "imports"}))
    if isinstance(parser["network_def"], dict):
        parser["network_def"].pop("img_size", None)  # removed from today's MONAI
    network: torch.nn.Module = parser.get_parsed_content("network_def")
    return network.eval()


def write_bundle(
    folder: Path,
    content: dict[str, Any] | None = None,
    about: dict[str, Any] | None = None,
    *,
    yaml: bool = False,
    seed: int = 0,
    gain: float = 1.5,
) -> torch.nn.Module:
    """Write a bundle; return its network in evaluation mode."""
    content, about = content or config(), about or metadata()
    for name in ("configs", "models", "docs"):
        (folder / name).mkdir(parents=True)
    (folder / "LICENSE").write_text("Apache License\n                           Version 2.0, January 2004\n")
    ConfigParser.export_config_file(about, str(folder / "configs" / "metadata.json"), fmt="json", indent=4)
    ending = "yaml" if yaml else "json"
    ConfigParser.export_config_file(content, str(folder / "configs" / f"inference.{ending}"), fmt=ending)
    torch.manual_seed(seed)
    network = network_of(content)
    for value in network.parameters():  # larger weights, so that outputs differ between voxels
        value.data *= gain
    torch.save(network.state_dict(), folder / "models" / "model.pt")
    return network


def zipped(folder: Path) -> Path:
    """Write a bundle as a zip archive with its folder inside, as the model zoo does."""
    return Path(shutil.make_archive(str(folder), "zip", folder.parent, folder.name))
