"""Names of BIDS are made of cases' names, and none comes twice."""

from __future__ import annotations

import pytest

from sixpoint.datasets.bids_layout import bids_paths, bids_texts
from sixpoint.errors import DatasetError


def test_every_case_is_a_subject_of_its_own() -> None:
    cases = ["case 1", "case_1", "Case1", "case1x1", "---", "\u00e9"]
    paths = bids_paths(cases, "t1W")
    assert [image.as_posix() for image, _ in paths.values()] == [
        f"sub-{subject}/anat/sub-{subject}_T1w.nii.gz"
        for subject in ("case1", "case1x1", "Case1x2", "case1x1x1", "case", "casex1")
    ]
    assert paths["case 1"][1].as_posix() == "derivatives/sixpoint/sub-case1/anat/sub-case1_dseg.nii.gz"
    texts = bids_texts("name", {"liver": 1}, {"case 1": "training", "---": "test"}, paths)
    assert texts[next(path for path in texts if path.name == "participants.tsv")] == (
        "participant_id\tcase\tsplit\nsub-case1\tcase 1\ttraining\nsub-case\t---\ttest\n"
    )


@pytest.mark.parametrize("modality", ["MR", "MRI", "", "../x"])
def test_a_contrast_is_asked_for(modality: str) -> None:
    with pytest.raises(DatasetError, match="say what it calls them: CT, PET, or for MR the contrast"):
        bids_paths(["case"], modality)
