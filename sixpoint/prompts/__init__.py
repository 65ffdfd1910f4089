"""Prompts: extreme points, boxes, clicks and initial masks, and the files and texts that people write them in."""

from sixpoint.prompts.frames import Frame
from sixpoint.prompts.initial_mask import InitialMask
from sixpoint.prompts.mask_files import parse_mask_source
from sixpoint.prompts.point_files import parse_box, parse_click, parse_points, read_points
from sixpoint.prompts.prompts import MAX_EXTREME_POINTS, Box, Click, ExtremePoints, Point, Prompt

__all__ = [
    "MAX_EXTREME_POINTS",
    "Box",
    "Click",
    "ExtremePoints",
    "Frame",
    "InitialMask",
    "Point",
    "Prompt",
    "parse_box",
    "parse_click",
    "parse_mask_source",
    "parse_points",
    "read_points",
]
