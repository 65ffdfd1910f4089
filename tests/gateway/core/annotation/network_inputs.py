"""Shortcuts through preprocessing and postprocessing, for tests."""

from __future__ import annotations

import numpy as np

from gateway.core.annotation.postprocess import postprocess, render_mask
from gateway.core.annotation.preprocess import NetworkInput, Prediction, prepare
from gateway.core.annotation.prompt_state import ObjectPrompts, accumulate, read_prompts
from gateway.core.images.reductions import Reductions
from gateway.core.runtime import decode_probabilities
from sixpoint.geometry import Geometry
from sixpoint.mask import pack, unpack
from sixpoint.model_spec import ModelSpec
from sixpoint.prompts import Prompt
from sixpoint.volume import Volume
from tests.support.models import CLICKS_SPEC, ELLIPSOID_SPEC, clicks_answer


def object_prompts(*prompts: Prompt, geometry: Geometry) -> ObjectPrompts:
    return accumulate(None, read_prompts(prompts, geometry=geometry))


def network_input(
    *prompts: Prompt, volume: Volume, spec: ModelSpec = ELLIPSOID_SPEC, previous: Prediction | None = None
) -> NetworkInput:
    geometry = volume.geometry
    canonical = geometry.orientation.to_canonical(volume.array)
    return prepare(
        Reductions(canonical),
        object_prompts(*prompts, geometry=geometry),
        previous=previous,
        geometry=geometry,
        spec=spec,
    )


def whole_mask(grid: np.ndarray, prepared: NetworkInput, geometry: Geometry) -> np.ndarray:
    """What a person gets for a network's probabilities: uint8 [z, y, x] on the image's own grid."""
    answered = postprocess(grid, prepared, geometry=geometry, threshold=0.5)
    piece, offset = render_mask(answered, prepared.prompts, geometry=geometry, threshold=0.5)
    return unpack(pack(piece, offset), geometry.size)


def annotate(array: np.ndarray, geometry: Geometry, *prompts: Prompt) -> np.ndarray:
    prepared = network_input(*prompts, volume=Volume(array, geometry), spec=CLICKS_SPEC)
    return whole_mask(decode_probabilities(clicks_answer(prepared.tensor)[0]), prepared, geometry)
