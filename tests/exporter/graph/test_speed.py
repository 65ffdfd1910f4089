"""The time of two versions: of an answer, or of as much of an image as a patch moves forward."""

from __future__ import annotations

import json

import pytest

from exporter.parity.speed import Speed, measure_speed, require_as_fast
from sixpoint.errors import FailedPrecondition
from sixpoint.model_spec import ModelSpec
from tests.support.paths import ROOT


def test_a_patch_of_finer_voxels_takes_longer_for_the_same_image() -> None:
    spec = segmentation()
    assert spec.patch is not None
    finer = spec.model_copy(update={"patch": spec.patch.model_copy(update={"spacing": (0.001, 1.0, 1.0)})})
    runs: list[str] = []
    speed = measure_speed(lambda: runs.append("new"), lambda: runs.append("serving"), specs=(finer, spec))
    assert runs[:4] == ["new", "serving", "new", "serving"]
    # Whatever the machine does meanwhile: the same calls, on a thousandth of the image.
    assert speed.new > speed.serving


@pytest.mark.parametrize(("new", "refused"), [(1.0, False), (1.5, False), (1.6, True)])
def test_what_takes_too_long_is_refused(new: float, refused: bool) -> None:
    speed = Speed(new=new, serving=1.0)
    if not refused:
        require_as_fast(speed, name="organs", serving=3, max_slowdown=1.5)
        return
    with pytest.raises(FailedPrecondition, match=r"organs takes 1\.6 s, 1\.60 times the 1 s of version 3"):
        require_as_fast(speed, name="organs", serving=3, max_slowdown=1.5)


def segmentation() -> ModelSpec:
    text = (ROOT / "model_repository" / "segmentation_hippocampus" / "1" / "version.json").read_text()
    return ModelSpec.from_mapping(json.loads(text)["spec"])
