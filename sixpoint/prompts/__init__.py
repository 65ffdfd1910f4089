"""Prompts: extreme points, boxes, clicks, scribbles, lassos and initial masks, and the files that hold them."""

from sixpoint.prompts.frames import Frame
from sixpoint.prompts.initial_mask import InitialMask
from sixpoint.prompts.lassos import MAX_CONTOUR_POINTS, Lasso
from sixpoint.prompts.mask_files import parse_mask_source
from sixpoint.prompts.point_files import parse_box, parse_click, parse_points, read_points
from sixpoint.prompts.prompts import MAX_EXTREME_POINTS, Box, Click, ExtremePoints, Point, Prompt, prompt_path
from sixpoint.prompts.scribbles import Scribble
from sixpoint.prompts.stroke_files import parse_lasso, parse_scribble, read_lasso, signed_source
from sixpoint.prompts.voxel_runs import MAX_VOXELS, VoxelRuns

__all__ = [
    "MAX_CONTOUR_POINTS",
    "MAX_EXTREME_POINTS",
    "MAX_VOXELS",
    "Box",
    "Click",
    "ExtremePoints",
    "Frame",
    "InitialMask",
    "Lasso",
    "Point",
    "Prompt",
    "Scribble",
    "VoxelRuns",
    "parse_box",
    "parse_click",
    "parse_lasso",
    "parse_mask_source",
    "parse_points",
    "parse_scribble",
    "prompt_path",
    "read_lasso",
    "read_points",
    "signed_source",
]
