"""Prompts: extreme points, box, clicks, initial mask."""

from sixpoint.prompts.initial_mask import InitialMask
from sixpoint.prompts.prompts import Box, Click, ExtremePoints, Frame, Point, Prompt

__all__ = ["Box", "Click", "ExtremePoints", "Frame", "InitialMask", "Point", "Prompt"]
