"""Specs of networks that are small enough to export in a second or two."""

from __future__ import annotations

from typing import Any

__all__ = ["ANNOTATION", "SEGMENTATION"]

ANNOTATION: dict[str, Any] = {
    "title": "Tiny",
    "description": "Random weights.",
    "roi": {"size": [24, 16, 16]},
    "input": {
        "channels": [
            {"kind": "image", "intensity": {"method": "percentile"}},
            {"kind": "image", "intensity": {"method": "ellipsoid"}},
            {"kind": "image", "intensity": {"method": "points"}},
            {"kind": "heatmap"},
            {"kind": "ellipsoid"},
            {"kind": "hull"},
        ]
    },
    "network": {
        "name": "UNet",
        "arguments": {
            "spatial_dims": 3,
            "in_channels": 6,
            "out_channels": 1,
            "channels": [4, 8],
            "strides": [2],
            "num_res_units": 1,
        },
    },
    "licence": "Apache-2.0",
    "metrics": {"dice": 0.91234},
    "provenance": {"data": "none"},
}
SEGMENTATION: dict[str, Any] = {
    "title": "Somebody's",
    "task": "segmentation",
    "prompts": [],
    "labels": ["liver"],
    "patch": {"size": [24, 16, 16], "spacing": [1, 1, 1]},
    "input": {"channels": [{"kind": "image", "intensity": {"method": "range", "low": -100, "high": 200}}]},
    "network": {"name": "ONNX", "axes": "RAS", "scale": [0.5], "offset": [0.5]},
}
