"""Pictures of the cases that took most corrections."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sixpoint.client import Client
from sixpoint.dataset_report.figures import CaseFigures
from sixpoint.errors import NotFound
from sixpoint.preview import render_preview

__all__ = ["Thumbnail", "hardest_cases"]


@dataclass(frozen=True)
class Thumbnail:
    """A picture of a case.

    Attributes:
        case: The case.
        png: The picture, as base64 of a PNG.
    """

    case: CaseFigures
    png: str


def hardest_cases(client: Client, cases: Sequence[CaseFigures], *, count: int = 6) -> list[Thumbnail]:
    """Draw the cases that took most corrections per mask, with what was saved. Images that were lost are left out."""
    result: list[Thumbnail] = []
    for case in sorted(cases, key=lambda case: (-case.corrections, case.case)):
        if len(result) == count:
            break
        try:
            masks = client.datasets.masks(case.annotation.id)
            image = client.datasets.download(case.annotation.image_digest)
        except NotFound:
            continue
        together = np.zeros(image.array.shape, np.uint8)
        for label, voxels in case.annotation.voxel_counts.items():
            if voxels:
                together[masks.mask(label).array > 0] = 1
        if not together.any():
            continue
        buffer = io.BytesIO()
        render_preview(image, together, []).save(buffer, "PNG")
        result.append(Thumbnail(case, base64.b64encode(buffer.getvalue()).decode()))
    return result
