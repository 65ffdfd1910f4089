"""Steps as the database keeps them: prompts as messages of the contract, answers as compressed 255ths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import zstandard
from sqlalchemy import Row

from gateway.core.annotation.preprocess import Prediction
from gateway.core.sessions import StepRow
from sixpoint.errors import InternalError
from sixpoint.preprocessing import Roi
from sixpoint.prompts import Prompt
from sixpoint.protocol import prompt_from_message, prompt_to_message
from sixpoint.v1 import annotation_service_pb2 as annotation_pb

__all__ = ["decode_step", "encode_step"]

# Most probabilities are 0 or 255: higher levels save little and cost much.
_LEVEL = 1


def encode_step(step: StepRow) -> dict[str, Any]:
    """The values of a step's columns, but for its session, segment and number."""
    values = {name: value for name, value in vars(step).items() if name not in ("segment", "number")}
    prediction: Prediction = values.pop("prediction")
    roi = prediction.roi
    answer = zstandard.ZstdCompressor(level=_LEVEL).compress(np.ascontiguousarray(prediction.probabilities).data)
    return values | {
        "prompts": _encode_prompts(step.prompts),
        "roi": (roi.lower, roi.upper, roi.size, *(() if roi.resampling == "smoothed" else (roi.resampling,))),
        "answer": answer,
    }


def decode_step(row: Row[Any]) -> StepRow:
    """The step of a row with all columns but the session; its prediction is None if the row has no answer.

    Raises:
        InternalError: The stored answer is damaged.
    """
    values = dict(row._mapping)
    roi, answer = values.pop("roi"), values.pop("answer")
    return StepRow(
        **values
        | {
            "prompts": _decode_prompts(row.prompts),
            "prediction": None if answer is None else _decode_answer(roi, answer),
        }
    )


def _encode_prompts(prompts: Sequence[Prompt]) -> bytes:
    message = annotation_pb.AnnotateRequest(prompts=map(prompt_to_message, prompts))
    return message.SerializeToString(deterministic=True)


def _decode_prompts(data: bytes) -> tuple[Prompt, ...]:
    return tuple(map(prompt_from_message, annotation_pb.AnnotateRequest.FromString(data).prompts))


def _decode_answer(roi: Sequence[Any], answer: bytes) -> Prediction:
    (ax, ay, az), (bx, by, bz), size, *resampling = roi
    nx, ny, nz = map(int, size)
    try:
        raw = zstandard.ZstdDecompressor().decompress(answer, max_output_size=nx * ny * nz)
        grid = np.frombuffer(raw, np.uint8).reshape(nz, ny, nx)
    except (zstandard.ZstdError, ValueError) as error:
        raise InternalError("a stored answer is damaged; undo the step, and annotate again") from error
    return Prediction(grid, Roi((ax, ay, az), (bx, by, bz), (nx, ny, nz), *resampling))
