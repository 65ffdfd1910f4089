"""What a model can do, in nnInteractive's terms."""

from __future__ import annotations

from gateway.http.windows.beginning import can_begin_at
from sixpoint.model_spec import ModelSpec, PromptKind

__all__ = ["describe"]

_VERSION = "2.6.0"
_UNKNOWN_LICENCE = "!!MISSING!!"
# The channels of nnInteractive's own network: clients ask for them, and show them to nobody.
_CHANNELS = {"prev_seg": 0, "bbox": [1, 2], "lasso": [1, 2], "points": [3, 4], "scribble": [5, 6]}


def describe(spec: ModelSpec) -> dict[str, object]:
    """Return the answer to ``GET /capabilities``.

    Args:
        spec: Spec of the model.
    """
    boxes = bool({PromptKind.BOX, PromptKind.EXTREME_POINTS}.intersection(spec.prompts))
    return {
        "supported_interactions": {
            "points": can_begin_at(spec),
            "bbox2d": boxes,
            "bbox3d": boxes,
            "scribble": PromptKind.SCRIBBLES in spec.accepted_prompts,
            "lasso": PromptKind.LASSO in spec.accepted_prompts,
        },
        "channel_mapping": _CHANNELS,
        "num_interaction_channels": 7,
        "supports_initial_label": PromptKind.MASK in spec.prompts,
        # A mask that is brought along stays as it is until somebody corrects it.
        "supports_zero_shot_label_refinement": False,
        "preferred_scribble_thickness": [2, 2, 2],
        "interaction_decay": None,
        "inference_session_version": _VERSION,
        "license": _UNKNOWN_LICENCE if spec.licence == "unknown" else spec.licence,
        "supports_undo": True,
        "do_autozoom": False,
        "patch_size": list(spec.input_shape[1:]),
    }
