"""What counts as new: an annotation of an image, whatever other images have the same mask."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from sixpoint.client import AnnotationInfo
from sixpoint.loop import Decision, Rules, Verdict
from sixpoint.loop.accepted import identify, new_annotations
from sixpoint.loop.decisions import Choice, TrainFacts


def annotation(*, image: str, mask: str) -> AnnotationInfo:
    return AnnotationInfo(
        id=f"{image}-{mask}",
        dataset="lungs",
        image_digest=image * 64,
        version=1,
        annotator="",
        created=datetime(2026, 1, 1, tzinfo=UTC),
        labels={"nodule": 1},
        voxel_counts={"nodule": 0},
        session_id="",
        model="",
        model_version="",
        prompt_count=0,
        active_seconds=0.0,
        state="accepted",
        reviewer="",
        reason="",
        digest=mask * 64,
    )


def trained_on(*names: str) -> Decision:
    return Decision(
        time=datetime(2026, 1, 1, tzinfo=UTC),
        round=1,
        rules=Rules(modality="CT"),
        facts=TrainFacts(accepted=len(names), new=len(names), waiting_days=0, by_hand=False),
        verdict=Verdict(choice=Choice.TRAIN, reasons=("enough",)),
        considered=names,
    )


def test_equal_masks_of_other_images_are_new() -> None:
    # As the empty masks of images without a nodule.
    first, second = annotation(image="a", mask="0"), annotation(image="b", mask="0")
    corrected = annotation(image="a", mask="1")
    assert new_annotations([first, second], []) == [first, second]
    assert new_annotations([first, second], [trained_on(identify(first))]) == [second]
    assert new_annotations([corrected, second], [trained_on(identify(first), identify(second))]) == [corrected]
    rounds = [trained_on(identify(first)), trained_on(identify(first), identify(second))]
    assert new_annotations([first, second], rounds) == []


def test_a_record_without_images_is_still_understood() -> None:
    line = json.loads(trained_on("0" * 64).model_dump_json())
    # Written before a loop could learn a segmentation model.
    del line["task"]
    old = Decision.model_validate_json(json.dumps(line))
    known, unknown = annotation(image="a", mask="0"), annotation(image="a", mask="1")
    assert old.task == "annotation"
    assert new_annotations([known, unknown], [old]) == [unknown]
