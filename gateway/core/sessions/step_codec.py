"""Steps as bytes: prompts as the contract's own message, answers as compressed 255ths."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import zstandard

from gateway.core.annotation.preprocess import Prediction
from gateway.core.sessions.records import RoiNumbers
from sixpoint.preprocessing.roi import Roi
from sixpoint.prompts import Prompt
from sixpoint.protocol.converters import prompt_from_message, prompt_to_message
from sixpoint.v1 import annotation_service_pb2 as annotation

__all__ = ["decode_answer", "decode_prompts", "encode_answer", "encode_prompts"]

# Most of a grid is 0 or 255: higher levels save little and cost much.
_LEVEL = 1


def encode_prompts(prompts: Sequence[Prompt]) -> bytes:
    """The prompts of one call."""
    return annotation.AnnotateRequest(prompts=map(prompt_to_message, prompts)).SerializeToString(deterministic=True)


def decode_prompts(data: bytes) -> tuple[Prompt, ...]:
    """The way back from :func:`encode_prompts`."""
    return tuple(map(prompt_from_message, annotation.AnnotateRequest.FromString(data).prompts))


def encode_answer(answered: Prediction) -> tuple[RoiNumbers, bytes]:
    """The ROI (lower and upper corner, size), and the compressed probabilities."""
    roi = answered.roi
    packed = zstandard.ZstdCompressor(level=_LEVEL).compress(np.ascontiguousarray(answered.probabilities).data)
    return (roi.lower, roi.upper, roi.size), packed


def decode_answer(roi: RoiNumbers, data: bytes) -> Prediction:
    """The way back from :func:`encode_answer`."""
    (ax, ay, az), (bx, by, bz), (nx, ny, nz) = roi
    raw = zstandard.ZstdDecompressor().decompress(data, max_output_size=nx * ny * nz)
    grid = np.frombuffer(raw, np.uint8).reshape(nz, ny, nx)
    return Prediction(grid, Roi((ax, ay, az), (bx, by, bz), (nx, ny, nz)))
