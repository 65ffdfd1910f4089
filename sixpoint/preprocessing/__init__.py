"""Turn voxels and prompts into network inputs, and probabilities into masks: the same code in training and serving.

``kernels`` holds the inner loops, compiled from C; the gateway and the trainer need them, the client does without.
"""

from sixpoint.preprocessing._native import require_kernels
from sixpoint.preprocessing.block_mean import BlockMeans, Factors, Window, block_means
from sixpoint.preprocessing.components import connected_components, select_by_label
from sixpoint.preprocessing.guidance import (
    PromptGuidance,
    allocate_input,
    network_input,
    update_input,
    volume_input,
    write_guidance_channels,
    write_image_channels,
)
from sixpoint.preprocessing.guidance_maps import HEAT_FLOOR, cell_centres, ellipsoid_map, gaussian_factors, heatmap
from sixpoint.preprocessing.intensity import IntensityWindow, estimate_percentiles, fit_window
from sixpoint.preprocessing.resampling import Taps, linear_taps, resample
from sixpoint.preprocessing.roi import Roi, SliceableArray
from sixpoint.preprocessing.roi_channels import write_roi_channels
from sixpoint.preprocessing.strokes import (
    cells_of_voxels,
    estimate_object_box,
    outline_extremes,
    representative_clicks,
    set_stroke_cells,
)
from sixpoint.preprocessing.thresholding import restore_mask
from sixpoint.preprocessing.volume_channels import volume_channels

__all__ = [
    "HEAT_FLOOR",
    "BlockMeans",
    "Factors",
    "IntensityWindow",
    "PromptGuidance",
    "Roi",
    "SliceableArray",
    "Taps",
    "Window",
    "allocate_input",
    "block_means",
    "cell_centres",
    "cells_of_voxels",
    "connected_components",
    "ellipsoid_map",
    "estimate_object_box",
    "estimate_percentiles",
    "fit_window",
    "gaussian_factors",
    "heatmap",
    "linear_taps",
    "network_input",
    "outline_extremes",
    "representative_clicks",
    "require_kernels",
    "resample",
    "restore_mask",
    "select_by_label",
    "set_stroke_cells",
    "update_input",
    "volume_channels",
    "volume_input",
    "write_guidance_channels",
    "write_image_channels",
    "write_roi_channels",
]
