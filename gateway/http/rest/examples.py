"""Examples of bodies in the API's document; the tests send them."""

from __future__ import annotations

from typing import Any

__all__ = [
    "ADJUDICATION",
    "ANNOTATION",
    "DATASET",
    "DATASET_IMAGES",
    "DATASET_LABELS",
    "FORK",
    "IMAGE_HEADER",
    "JOB",
    "LEARNING_RULES",
    "NEXT_IMAGE",
    "PROMPTS",
    "REVIEW",
    "SEGMENTATION",
    "SESSION",
    "SESSION_CHANGE",
    "SKIP",
    "SUBJECT",
]

_DIGEST = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"

SESSION: dict[str, Any] = {"image_digest": _DIGEST, "model": "annotation", "request_id": "6f1b3a"}
SESSION_CHANGE: dict[str, Any] = {"segments": [{"number": 1, "name": "liver"}], "revision": 3}
FORK: dict[str, Any] = {"segment": 1, "step": 1, "request_id": "6f1b3b"}
PROMPTS: dict[str, Any] = {
    "prompts": [
        {
            "extreme_points": {
                "frame": "FRAME_VOXEL",
                "points": [
                    {"x": 4, "y": 18, "z": 16},
                    {"x": 33, "y": 18, "z": 16},
                    {"x": 20, "y": 5, "z": 16},
                    {"x": 20, "y": 30, "z": 16},
                    {"x": 20, "y": 18, "z": 4},
                    {"x": 20, "y": 18, "z": 28},
                ],
            }
        },
        {"click": {"frame": "FRAME_VOXEL", "point": {"x": 20, "y": 17, "z": 16}, "sign": "CLICK_SIGN_POSITIVE"}},
    ],
    "request_id": "6f1b3c",
}
SEGMENTATION: dict[str, Any] = {"image_digest": _DIGEST, "model": "segmentation_hippocampus", "labels": []}
JOB: dict[str, Any] = {"kind": "segment", "parameters": {"dataset": "livers", "model": "segmentation_hippocampus"}}
LEARNING_RULES: dict[str, Any] = {"rules": {"modality": "CT", "model": "annotation", "train": {"new_accepted": 10}}}
IMAGE_HEADER: dict[str, Any] = {
    "geometry": {
        "size": [40, 36, 32],
        "spacing": [1.0, 1.0, 2.0],
        "origin": [0.0, 0.0, 0.0],
        "direction": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
    },
    "voxel_type": "VOXEL_TYPE_INT16",
}
DATASET: dict[str, Any] = {
    "name": "livers",
    "labels": [{"number": 1, "name": "liver", "colour": "#dd8265", "snomed_code": "10200004"}],
    "validation_share": 0.1,
    "test_share": 0.2,
}
DATASET_LABELS: dict[str, Any] = {"labels": [{"number": 2, "name": "spleen"}]}
DATASET_IMAGES: dict[str, Any] = {"images": [{"image_digest": _DIGEST, "case_name": "case-1", "patient": "p1"}]}
NEXT_IMAGE: dict[str, Any] = {"strategy": "NEXT_STRATEGY_FIRST", "keep_seconds": 600}
SKIP: dict[str, Any] = {"reason": "the organ is cut off"}
ANNOTATION: dict[str, Any] = {
    "session_id": "zd5jYx8rQm2kq0bH3nV1Lw",
    "absent_labels": [],
    "state": "ANNOTATION_STATE_SUBMITTED",
}
ADJUDICATION: dict[str, Any] = {
    "among_ids": ["q3n5rt8vwx2yza4bcd6efghjkm", "h7m2pq9rstu4vwxy3zab5cdefh"],
    "reason": "the other one has the upper pole, too",
}
REVIEW: dict[str, Any] = {"state": "ANNOTATION_STATE_REJECTED", "reason": "the upper third is missing"}
SUBJECT: dict[str, Any] = {"case_name": "case-1", "whole_patient": True}
