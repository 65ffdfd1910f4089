"""Annotation: turn extreme points, boxes, initial masks and clicks into a mask of one object."""
